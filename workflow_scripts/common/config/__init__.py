"""The config model, one module per stage, so that changing one stage's settings does not affect other steps."""
