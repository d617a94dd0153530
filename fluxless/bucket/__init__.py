"""Buckets of object storage: what lies in one, and one object into a file. Azure Blob Storage and S3."""
