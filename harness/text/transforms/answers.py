"""Final answers of mathematics, boxed or under a heading."""
