"""Runs too long for a page; each writes its results to `vgcourse/_data`."""
