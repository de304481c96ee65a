"""The embedded world: a miniature of all external data, generated and served locally."""
