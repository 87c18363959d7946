"""Code blocks without comments, or without what Python does not read."""
