"""Embed each benchmark's images once per model, then score the papers' protocols on the features."""
