# Each target sets up what it needs. ACCEL=cpu or ACCEL=cu130 picks PyTorch's own index for that build of torch;
# without it, torch comes from where pip looks.
SHELL := /bin/bash
PYTHON ?= $(shell for python in python3.11 python3.12; do $$python -c "" 2>/dev/null && echo $$python && break; done)
ACCEL ?=
TORCH_INDEX ?= https://download.pytorch.org/whl/$(ACCEL)
BIN := .venv/bin
INSTALLED := .venv/.installed$(if $(ACCEL),-$(ACCEL))

.PHONY: help demo test quick lint docs kills bench fuzz soak lock clean

help:
	@printf 'make %s\n' \
	  'demo   the whole workflow on the embedded world, to a table of scores and a report' \
	  'test   every test, as CI runs them' \
	  'quick  the tests that train nothing and run no workflow' \
	  'lint   format, types, and the generated documentation' \
	  'docs   generate config/README.md and the table of docs/benchmarks.md' \
	  'bench  speed and memory beside peers; ONLY="NAME ..." for some' \
	  'kills, fuzz, soak: what goes beyond `make test`' \
	  'lock   new versions of what is installed' \
	  'clean  remove the environment and caches; results stay'

demo: $(INSTALLED)
	$(BIN)/snakemake --profile profiles/local all
	@run=$$($(BIN)/python -c 'from workflow_scripts.common.config.root import load_site; print(load_site().results)')/runs/demo && \
	  $(BIN)/python -m workflow_scripts.report.table --scores "$$run"/scores/{start,demo}/*.json --report "$$run/report/index.html"

test: lint
	$(BIN)/python -m pytest tests

quick: lint
	$(BIN)/python -m pytest tests -m "not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/mypy
	$(BIN)/python -m workflow_scripts.common.config.document --check

docs: $(INSTALLED)
	$(BIN)/python -m workflow_scripts.common.config.document

# Trainings killed at ten random steps, with 1, 2 and 4 ranks.
kills: $(INSTALLED)
	TREEOFLIFE_KILLS=10 $(BIN)/python -m pytest tests/train/test_train_kills.py -v -s

bench: $(INSTALLED)
	PYTHONPATH=. $(BIN)/python tests/bench/bench.py $(ONLY)

# Other damages than those of `make test`, and many.
fuzz: $(INSTALLED)
	FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest tests/fuzz

# The micro world with one random fault each time, about an hour: `make soak TIMES=5` for less.
TIMES ?= 20
soak: $(INSTALLED)
	PYTHONPATH=.:tests/workflow $(BIN)/python tests/soak/soak.py --times $(TIMES)

# New versions within what envs/requirements.in asks for. The build of torch is no part of the lock.
lock: $(INSTALLED)
	$(BIN)/pip install --quiet --upgrade --requirement envs/requirements.in
	$(BIN)/pip freeze | sed 's/^\(torch\|torchvision\)==\([^+]*\).*/\1==\2/' > envs/requirements.lock

$(INSTALLED): envs/requirements.lock
	@test -n "$(PYTHON)" || { echo "error: needs Python 3.11 or 3.12 (python3.11 or python3.12 on the PATH)" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(if $(ACCEL),$(BIN)/pip install --quiet --index-url $(TORCH_INDEX) $$(grep -E '^(torch|torchvision)==' envs/requirements.lock))
	$(BIN)/pip install --quiet --requirement envs/requirements.lock
	@rm -f .venv/.installed*
	@touch $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
