"""Readers that turn each source's metadata into contract records, and the merge into a generation of the catalog."""
