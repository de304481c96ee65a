# Each target sets up what it needs. ACCEL=cpu or ACCEL=cu130 picks PyTorch's own index for that build of torch;
# without it, torch comes from where pip looks.
SHELL := /bin/bash
PYTHON ?= $(shell for python in python3.11 python3.12; do $$python -c "" 2>/dev/null && echo $$python && break; done)
ACCEL ?=
TORCH_INDEX ?= https://download.pytorch.org/whl/$(ACCEL)
BIN := .venv/bin
INSTALLED := .venv/.installed$(if $(ACCEL),-$(ACCEL))
TESTED := .venv/.tested
RESULTS = $(shell $(BIN)/python -c 'from workflow_scripts.common.config.root import load_site; print(load_site().results)')

.PHONY: help setup demo digests test quick lint docs site transformers kills bench device device-packages fuzz soak lock clean

help:
	@printf 'make %s\n' \
	  'setup  the environment alone, in .venv; ACCEL=cpu for PyTorch without a GPU' \
	  'demo   the whole workflow on the embedded world, to a table of scores and a report' \
	  'digests  the demo, and SHA-256 sums of what it made' \
	  'test   every test, as CI runs them' \
	  'quick  the tests that train nothing, run no workflow and take seconds' \
	  'lint   format, types, and the generated documentation' \
	  'docs   generate config/README.md, the JSON schemas and the reference pages' \
  'site   the documentation as a site, into .site/html' \
	  'record the versions of steps whose code has changed; STEP="NAME ..." for some, NEXT=1 for other outputs' \
	  'bench  speed and memory beside peers; ONLY="NAME ..." for some, SMALL=1 to see that they run' \
	  'device  the trainer on one GPU in under 8 minutes, by PYTHON and its PyTorch; SMALL=1 to see that it runs' \
	  'device-packages  what `device` needs besides, for PYTHON_VERSION (3.12), into .device' \
	  'transformers  the library transformers into .transformers, for the tests of the export to it' \
	  'kills, fuzz, soak: what goes beyond `make test`' \
	  'lock   new versions of what is installed' \
	  'clean  remove the environment and caches; results stay'

setup: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/snakemake --profile profiles/local all
	@run="$(RESULTS)/runs/demo" && \
	  $(BIN)/python -m workflow_scripts.report.table --scores "$$run"/scores/{start,demo}/*.json --report "$$run/report/index.html"

# What a change to the code must leave as it is. Weights are the same on one kind of processor only.
digests: demo
	@cd "$(RESULTS)" && sha256sum corpora/world/{taxonomy/labels,curate/g000/verdicts}.parquet \
	  corpora/world/{shards/g000,replay}/{train,val}/manifest.parquet runs/demo/train/model.safetensors

# Files in the order of tests/conftest.py, which lets Slurm's tests wait while others work.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) tests

quick: lint
	$(PYTEST) tests -m "not slow"

lint: $(TESTED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/mypy
	$(BIN)/python -m workflow_scripts.common.config.document --check
	$(RECORD) --check

docs: $(INSTALLED)
	$(BIN)/python -m workflow_scripts.common.config.document

# The site has an environment of its own. What it serves and shows is in .site/html; nothing is fetched by its pages.
SITE := .site/.installed
site: $(SITE)
	NO_MKDOCS_2_WARNING=1 .site/bin/mkdocs build --quiet
	@echo "site: $(CURDIR)/.site/html/index.html; for its search: python3 -m http.server --directory .site/html"

$(SITE): envs/site.lock
	test -x .site/bin/python || $(PYTHON) -m venv .site
	.site/bin/pip install --quiet --no-deps --require-hashes --requirement envs/site.lock
	@touch $@

# Apart from the environment, because open_clip imports it wherever it is; it needs nothing besides what is there.
transformers: .transformers/.installed
.transformers/.installed: $(INSTALLED) envs/transformers.lock
	$(BIN)/pip install --quiet --no-deps --require-hashes --upgrade --target .transformers --requirement envs/transformers.lock
	@touch $@

# The recorded versions of steps (workflow_scripts/versions.lock). STEP="a.b c.d" for some, NEXT=1 where outputs changed.
RECORD = PYTHONPATH=.:tests/workflow $(BIN)/python tests/record/record.py
record: $(INSTALLED)
	$(RECORD) $(STEP) $(if $(NEXT),--next)

# Trainings killed at ten random steps, with 1, 2 and 4 ranks.
kills: $(TESTED)
	TREEOFLIFE_KILLS=10 $(BIN)/python -m pytest tests/train/test_train_kills.py -v -s

bench: $(TESTED)
	PYTHONPATH=. $(BIN)/python tests/bench/bench.py $(ONLY)

# By PYTHON where it is given, else by the first Python that has PyTorch. Fetches nothing, and asks for no environment of
# the project's: envs/device.in names what must be there, or in .device.
WITH_TORCH = $(if $(filter file,$(origin PYTHON)),$(shell for python in $(BIN)/python python3 python3.12 python3.11; do \
  $$python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' 2>/dev/null && \
  echo $$python && break; done),$(PYTHON))
device:
	PYTHONPATH=. $(or $(WITH_TORCH),python3) tests/bench/device.py

# Where there is no index, copy the folder from where there is one.
PYTHON_VERSION ?= $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
WHEELS = --only-binary :all: --python-version $(PYTHON_VERSION) \
  $(foreach libc,manylinux_2_28 manylinux_2_17 manylinux2014,--platform $(libc)_$(shell uname -m))
device-packages:
	$(PYTHON) -m pip install --quiet --no-deps --require-hashes --no-compile --upgrade $(WHEELS) \
	  --target .device/$(PYTHON_VERSION) --requirement <(awk \
	  'NR == FNR { wanted[$$1]; next } /^[^ ]/ { split($$1, name, "=="); on = name[1] in wanted } on' \
	  envs/device.in envs/workflow.lock)

# Other damages than those of `make test`, and many.
fuzz: $(TESTED)
	FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest tests/fuzz

# The micro world with one random fault each time, about an hour: `make soak TIMES=5` for less.
TIMES ?= 20
soak: $(TESTED)
	PYTHONPATH=.:tests/workflow $(BIN)/python tests/soak/soak.py --times $(TIMES)

# New versions within what envs/*.in ask for, the same on both sides; torch's and torchvision's are those of envs/torch.txt.
COMPILE := $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11
LOCK := $(COMPILE) --generate-hashes --constraints .venv/versions --no-emit-package torch --no-emit-package torchvision
lock: $(TESTED)
	$(BIN)/pip install --quiet uv
	$(COMPILE) --upgrade envs/workflow.in envs/tests.in envs/torch.txt --output-file .venv/versions
	$(LOCK) envs/workflow.in --output-file envs/workflow.lock
	$(LOCK) $$(sed -n 's/^\([^ =]*\)==.*/--no-emit-package \1/p' envs/workflow.lock) envs/tests.in --output-file envs/tests.lock
	$(COMPILE) --upgrade --generate-hashes envs/site.in --output-file envs/site.lock
	$(COMPILE) --upgrade --generate-hashes --no-deps envs/transformers.in --output-file envs/transformers.lock
	sed -i "s/^LOCK=.*/LOCK=$$(sha256sum envs/workflow.lock | cut -d' ' -f1)/" envs/workflow.post-deploy.sh

# A lock is complete, so nothing is resolved; what torch needs beside it depends on its build.
PINNED := $(BIN)/pip install --quiet --no-deps --require-hashes --requirement

$(INSTALLED): envs/workflow.lock envs/torch.txt
	@test -n "$(PYTHON)" || { echo "error: needs Python 3.11 or 3.12 (python3.11 or python3.12 on the PATH)" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PINNED) envs/workflow.lock
	$(BIN)/pip install --quiet $(if $(ACCEL),--index-url $(TORCH_INDEX)) --requirement envs/torch.txt
	@# Steps are found from any folder: `python -m workflow_scripts.STAGE.STEP`.
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/treeoflife.pth"
	@rm -f .venv/.installed*
	@touch $@

$(TESTED): $(INSTALLED) envs/tests.lock envs/faces.lock
	$(PINNED) envs/tests.lock --requirement envs/faces.lock
	@touch $@

clean:
	rm -rf .venv .device .site .transformers .mypy_cache .pytest_cache .ruff_cache
