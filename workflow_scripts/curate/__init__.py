"""Curation: give every image of the catalog a verdict: kept (in which split) or left out (why)."""
