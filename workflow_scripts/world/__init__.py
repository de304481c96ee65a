"""The embedded world: a miniature of all external data, drawn and served."""
