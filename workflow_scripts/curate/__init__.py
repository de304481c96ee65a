"""Curation: every image of the catalog gets a verdict, kept (in which split) or left out (why)."""
