"""What cluster and end-to-end tests share."""
