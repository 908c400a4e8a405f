"""What the variants of a test recorded, to be compared."""
