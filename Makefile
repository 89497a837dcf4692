# The main targets are `make demo` and `make test`; each creates the environment it needs.

SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.PHONY: help demo test lint types docs tests clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# One test process per core, with one thread each; at most 8, to limit the memory used.
JOBS := --numprocesses logical --maxprocesses 8 --dist worksteal
# No bytecode at installation: compiling all 14,000 files takes a minute, and Python compiles on import.
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
	--no-compile

# Shortens the output of pip to the names of the packages, as progress.
PIP_NAMES := awk '/^ *Collecting / { sub(/[^A-Za-z0-9_.-].*/, "", $$2); \
		if ((n += length($$2) + 1) > 90) { printf "\n"; n = length($$2) + 1 } \
		printf " %s", $$2; fflush() } \
	/^Installing collected/ { printf "\n unpacking (this is the longer part)\n"; n = 0; fflush() }'

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "congeal needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python" >&2; \
		exit 1; }
	@echo "making $(VENV) with $$("$(PYTHON)" -V)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing congeal and its dependencies into $(VENV) (some minutes, once):"
	@$(PIP_INSTALL) -e . | $(PIP_NAMES)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	@echo "installing the tools for tests and documentation:"
	@$(PIP_INSTALL) -e '.[dev]' | $(PIP_NAMES)
	@touch $@

demo: $(VENV)/.installed  ## draw, train, evaluate and segment in a few minutes
	@$(BIN)/congeal demo

test: lint types docs tests  ## all checks: ruff, mypy, documentation, tests

lint: $(VENV)/.installed-dev  ## ruff: rules and format
	@echo "== ruff"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet && echo "clean"

types: $(VENV)/.installed-dev  ## mypy --strict
	@echo "== mypy"
	@$(BIN)/mypy --strict src

docs: $(VENV)/.installed-dev  ## build the documentation, in docs/_build/html
	@echo "== documentation"
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

tests: $(VENV)/.installed-dev  ## pytest, with the examples in docstrings and pages
	@echo "== pytest"
	@$(BIN)/python -m pytest -q $(JOBS) $(PYTEST_ARGS)

clean:  ## remove build outputs, not the environment
	@rm -rf build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find src tests docs -name __pycache__ -prune -exec rm -rf {} +
