"""Judges that look at every downloaded image: what they find becomes a verdict by the thresholds of the config."""
