"""Kept images as training shards: globally shuffled webdataset tars, the same bytes on every rebuild."""
