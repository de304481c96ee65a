"""The embedded world: a miniature of everything that comes from outside, drawn, written down and served."""
