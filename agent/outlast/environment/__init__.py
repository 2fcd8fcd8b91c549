"""The virtual environment that `install` fills: made on one node, kept in the bucket, brought to the next."""
