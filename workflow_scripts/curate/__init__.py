"""Which images are kept, and in which split: every image of the catalogue gets a verdict."""
