#!/usr/bin/env bash
# Snakemake runs this in the project's folder, once per content of this file and workflow.yaml: another lock is another environment.
set -euo pipefail
LOCK=ad4b935f633957d866036c4db790c0eaff63d35cb44eb133c02c0366c73b0178
echo "$LOCK  envs/workflow.lock" | sha256sum --check --quiet
python -m pip install --no-deps --require-hashes --requirement envs/workflow.lock
python -m pip install --requirement envs/torch.txt
