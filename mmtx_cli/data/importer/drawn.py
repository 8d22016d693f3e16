"""Temporary row keys that record how a split was assigned; not written to the manifest."""

SPLIT_BY = "split_by"
"""Value shared by rows that must be in the same split."""
RANDOM_SPLIT = "split_was_drawn"
"""True if the split was assigned by ratios, so that it may still change."""
