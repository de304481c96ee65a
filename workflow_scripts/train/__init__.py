"""Training: from starting weights and shards to an exported CLIP model."""
