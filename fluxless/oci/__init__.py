"""OCI registries: references, credentials, a client of `/v2`, and the media types of Flux's artifacts."""
