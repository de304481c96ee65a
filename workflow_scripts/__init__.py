"""The steps of the workflow: one package per stage, with shared code in `common` and `contracts`."""
