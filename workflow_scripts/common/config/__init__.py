"""The config model: one module a stage, so that a change in one stage's settings concerns no other stage's steps."""
