"""Replay: image-caption pairs from a LAION-like set, which keep the model from forgetting."""
