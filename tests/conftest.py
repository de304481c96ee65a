"""Steps that tests start as commands find the project, and use one thread each; tests may fork."""

import gc
import os
from pathlib import Path

os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

# A forked rank must not free what earlier tests left to the collector: that may wait for threads it does not have.
os.register_at_fork(after_in_child=gc.freeze)
