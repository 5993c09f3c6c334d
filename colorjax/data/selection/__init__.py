"""Selection of photos: splits, filters, duplicates, weights."""
