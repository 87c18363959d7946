"""Markdown and lists taken away or put in."""
