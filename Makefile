# One word each: make setup, demo, test, lint, soak, bench, bench-recovery, format, clean.
# A virtual environment is made in .venv when it is missing, stale, or came from another folder.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-demo demo test lint soak bench bench-recovery format clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := bash scripts/setup
PYTEST_WORKERS ?= 2

help:
	@echo "make demo    train a small model here while its machines are taken away (about 4 minutes)"
	@echo "make test    all tests        make lint   ruff and mypy      make format   ruff's formatting"
	@echo "make soak    long simulation  make bench  measurements       make bench-recovery  recovery, timed"
	@echo "make clean   remove what was made"

setup:
	@$(SETUP) "$(PYTHON)" orchestrator,torch,dev

setup-demo:
	@$(SETUP) "$(PYTHON)" orchestrator,torch

demo: setup-demo
	@$(BIN)/outlast demo $(DEMO_ARGS)

test: setup
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal $(TEST_ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Longer than CI: more seeds of the simulation. SEEDS=5000 make soak
soak: setup
	@if ls tests/sim/test_*.py >/dev/null 2>&1; then \
	  OUTLAST_SEEDS=$${SEEDS:-3000} $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal tests/sim $(TEST_ARGS); \
	else echo "soak: there is no simulation test yet (tests/sim is empty)"; exit 1; fi

bench: setup
	@$(BIN)/python -m tests.bench

# 20 interruptions of each kind, about 10 minutes; BENCH_ARGS="--of-each 5" for fewer.
bench-recovery: setup
	@$(BIN)/python -m tests.bench.recovery $(BENCH_ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist demo-report.html
