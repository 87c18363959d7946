"""Noise: letters and words swapped, lost, doubled or mistaken."""
