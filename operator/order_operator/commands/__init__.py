"""What `order-operator` does beside being the operator: commands that the chart runs as Jobs, and people by hand."""
