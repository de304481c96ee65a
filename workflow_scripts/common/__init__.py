"""Code that every stage may import. It imports no stage."""
