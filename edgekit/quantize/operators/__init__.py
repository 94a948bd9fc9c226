"""Nodes taken out for ones of fewer bits."""
