.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

# Where copies of XCOPA and XNLI lie, the demo asks them too.
DATA ?= ../shared/data
IN_CONTEXT := $(if $(wildcard $(DATA)/xcopa),benchmark=demo benchmark.path=$(DATA))

.PHONY: help demo test test-slow lint format bench docs clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# One virtual environment, set up anew when what the package needs has changed; what only developers need comes second.
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(INSTALL) -e '.[dev]'
	@touch $@

demo: $(VENV)/.ready  ## align the default model, measure before and after, write outputs/demo/report.html
	$(BIN)/python -m xalign.run experiment=demo run.rerun=true $(IN_CONTEXT)

test: $(VENV)/.ready-dev  ## the test suite, under 15 minutes on two cores
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-slow: $(VENV)/.ready-dev  ## the checks that need a real model or several minutes
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/.ready-dev  ## style, imports, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready-dev  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.ready  ## measure the recipe's objectives side by side (experiments/recipe)
	$(BIN)/python experiments/recipe/run.py

docs: $(VENV)/.ready  ## write docs/config.md and docs/methods.md from the docstrings
	$(BIN)/python -m xalign.cli.reference docs/config.md
	$(BIN)/python -m xalign.cli.methods docs/methods.md

clean:  ## remove the virtual environment and caches (outputs stay)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
