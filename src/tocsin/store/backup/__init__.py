"""backup copies both stores into a place, a folder or a bucket, as one set that can be checked and restored."""
