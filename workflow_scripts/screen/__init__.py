"""Screening: judges examine downloaded images; the config's thresholds turn findings into verdicts."""
