"""Capital letters and the last mark of a reply."""
