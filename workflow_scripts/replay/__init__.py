"""Pairs of images and captions from a LAION-like set, which keep the model from forgetting."""
