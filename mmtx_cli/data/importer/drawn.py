"""Keys of rows on their way into a manifest, which none holds: how a row got its split."""

SPLIT_BY = "split_by"
"""With which others a row shares its split."""
DRAWN = "split_was_drawn"
"""Its split was drawn by ratios, so that it may still be changed."""
