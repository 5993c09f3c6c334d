"""Which photos are used, and for what: splits, filters, duplicates, weights."""
