"""One page to follow orders, decide about them and place them. Acts through the Kubernetes API, as the caller alone."""
