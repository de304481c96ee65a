#!/usr/bin/env bash
# Snakemake runs this in the project's folder once per version of this file and workflow.yaml, so a new lock makes a new environment.
set -euo pipefail
LOCK=7cd325976c021b83a12bd0c8ea6a342b18aa692d73f51193fcc941e522ffa751
echo "$LOCK  envs/workflow.lock" | sha256sum --check --quiet
python -m pip install --no-deps --require-hashes --requirement envs/workflow.lock
python -m pip install --requirement envs/torch.txt
