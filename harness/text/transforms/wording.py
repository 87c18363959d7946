"""The same words written another way: contractions and small numbers."""
