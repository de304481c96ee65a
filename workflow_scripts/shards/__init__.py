"""Training shards: globally shuffled webdataset tars of kept images, byte-identical on every rebuild."""
