# Each target installs what it needs. ACCEL=cpu or ACCEL=cu130 installs that build of torch from PyTorch's own index;
# without ACCEL, torch comes from pip's default index.
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
	  'setup           install the environment into .venv; ACCEL=cpu for PyTorch without GPU support' \
	  'demo            run the workflow on the embedded world, ending with a table of scores and a report' \
	  'digests         run the demo and print SHA-256 digests of its results' \
	  'test            run all tests, as CI does' \
	  'quick           run only the fast tests: no training, no workflow run' \
	  'lint            check format, types, rules, generated documents and recorded step versions' \
	  'docs            generate config/README.md, the JSON schemas and the reference pages' \
	  'site            build the documentation site into .site/html' \
	  'record          record the versions of steps whose code has changed; STEP="NAME ..." for some, NEXT=1 if outputs differ' \
	  'bench           measure speed and memory beside other libraries; ONLY="NAME ..." for some, SMALL=1 for a trial' \
	  'device          test and time the trainer on one GPU, in under 8 minutes; PYTHON=... chooses the Python, SMALL=1 for a trial' \
	  'device-packages install the other packages that `device` needs into .device, for PYTHON_VERSION (3.12)' \
	  'transformers    install the library transformers into .transformers, for the tests of the export' \
	  'kills           kill trainings at random steps and compare the results' \
	  'fuzz            read randomly damaged files of every external format' \
	  'soak            run the micro world with one random fault each time; TIMES=5 for fewer runs' \
	  'lock            update the locked package versions' \
	  'clean           remove the environments and caches, but no results'

setup: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/snakemake --profile profiles/local all
	@run="$(RESULTS)/runs/demo" && \
	  $(BIN)/python -m workflow_scripts.report.table --scores "$$run"/scores/{start,demo}/*.json --report "$$run/report/index.html"

# Digests that a change to the code must not alter. Weights are reproducible on the same type of processor only.
digests: demo
	@cd "$(RESULTS)" && sha256sum corpora/world/{taxonomy/labels,curate/g000/verdicts}.parquet \
	  corpora/world/{shards/g000,replay}/{train,val}/manifest.parquet runs/demo/train/model.safetensors

# Keep the file order of tests/conftest.py, which overlaps the waiting of the Slurm tests with other tests. A quarter of
# the time is waiting (for Slurm, for hosts with limits), so three workers keep two cores busy; each takes up to 2 GB.
WORKERS ?= 3
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

# The site has its own environment. Its pages load nothing from the network.
SITE := .site/.installed
site: $(SITE)
	NO_MKDOCS_2_WARNING=1 .site/bin/mkdocs build --quiet
	@echo "site: $(CURDIR)/.site/html/index.html; to search it, serve it: python3 -m http.server --directory .site/html"

$(SITE): envs/site.lock
	test -x .site/bin/python || $(PYTHON) -m venv .site
	.site/bin/pip install --quiet --no-deps --require-hashes --requirement envs/site.lock
	@touch $@

# Not in .venv, because open_clip imports transformers if it is installed. Its dependencies are in .venv already.
transformers: .transformers/.installed
.transformers/.installed: $(INSTALLED) envs/transformers.lock
	$(BIN)/pip install --quiet --no-deps --require-hashes --upgrade --target .transformers --requirement envs/transformers.lock
	@touch $@

# Recorded versions of steps (workflow_scripts/versions.lock). STEP="a.b c.d" for some, NEXT=1 if outputs changed.
RECORD = PYTHONPATH=.:tests/workflow $(BIN)/python tests/record/record.py
record: $(INSTALLED)
	$(RECORD) $(STEP) $(if $(NEXT),--next)

# Trainings killed at ten random steps, with 1, 2 and 4 ranks.
kills: $(TESTED)
	TREEOFLIFE_KILLS=10 $(BIN)/python -m pytest tests/train/test_train_kills.py -v -s

bench: $(TESTED)
	PYTHONPATH=. $(BIN)/python tests/bench/bench.py $(ONLY)

# Runs with PYTHON if given, else with the first Python that has PyTorch. Fetches nothing and does not use .venv: the
# packages of envs/device.in must be installed there or in .device.
WITH_TORCH = $(if $(filter file,$(origin PYTHON)),$(shell for python in $(BIN)/python python3 python3.12 python3.11; do \
  $$python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' 2>/dev/null && \
  echo $$python && break; done),$(PYTHON))
device:
	PYTHONPATH=. $(or $(WITH_TORCH),python3) tests/bench/device.py

# On a machine without a package index, copy .device from one that has it.
PYTHON_VERSION ?= $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
WHEELS = --only-binary :all: --python-version $(PYTHON_VERSION) \
  $(foreach libc,manylinux_2_28 manylinux_2_17 manylinux2014,--platform $(libc)_$(shell uname -m))
device-packages:
	$(PYTHON) -m pip install --quiet --no-deps --require-hashes --no-compile --upgrade $(WHEELS) \
	  --target .device/$(PYTHON_VERSION) --requirement <(awk \
	  'NR == FNR { wanted[$$1]; next } /^[^ ]/ { split($$1, name, "=="); on = name[1] in wanted } on' \
	  envs/device.in envs/workflow.lock)

# Many more examples than in `make test`.
fuzz: $(TESTED)
	FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest tests/fuzz

# The micro world with one random fault each time. Takes about an hour; `make soak TIMES=5` is shorter.
TIMES ?= 20
soak: $(TESTED)
	PYTHONPATH=.:tests/workflow $(BIN)/python tests/soak/soak.py --times $(TIMES)

# Newest versions allowed by envs/*.in, the same in all locks; torch and torchvision are pinned in envs/torch.txt.
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

# Locks are complete, so pip resolves nothing. Torch's dependencies vary by build and are resolved by pip.
PINNED := $(BIN)/pip install --quiet --no-deps --require-hashes --requirement

$(INSTALLED): envs/workflow.lock envs/torch.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 found; put python3.11 or python3.12 on the PATH" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PINNED) envs/workflow.lock
	$(BIN)/pip install --quiet $(if $(ACCEL),--index-url $(TORCH_INDEX)) --requirement envs/torch.txt
	@# So that `python -m workflow_scripts.STAGE.STEP` works from any folder.
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/treeoflife.pth"
	@rm -f .venv/.installed*
	@touch $@

$(TESTED): $(INSTALLED) envs/tests.lock envs/faces.lock
	$(PINNED) envs/tests.lock --requirement envs/faces.lock
	@touch $@

clean:
	rm -rf .venv .device .site .transformers .mypy_cache .pytest_cache .ruff_cache
