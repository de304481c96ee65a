"""The steps of the workflow: one package a stage, and what they share in `common` and `contracts`."""
