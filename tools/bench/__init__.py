"""`make bench`: the measurements of docs/benchmarks.md, on the local host with Azurite and a real API server."""
