"""The Grafana dashboards that the chart ships, generated: what they show is said once, in Python."""
