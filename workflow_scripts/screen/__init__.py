"""Screening: judges score downloaded images; the config's thresholds decide which of them to leave out."""
