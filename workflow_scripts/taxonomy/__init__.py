"""Backbones, and the taxon that each provider's label names."""
