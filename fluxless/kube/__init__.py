"""The only room that speaks to a Kubernetes API server."""
