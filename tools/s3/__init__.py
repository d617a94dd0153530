"""A real S3 server (the Versity gateway over a folder) for tests."""
