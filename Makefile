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
PYTEST_WORKERS ?= 4
# Where it is set, each of the thousand processes that the tests start would compile all of Outlast anew.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make demo    train a small model here while its machines are taken away (about 4 minutes)"
	@echo "make test    all tests        make lint   ruff and mypy      make format   ruff's formatting"
	@echo "make soak    sweep, long simulation  make bench  measurements       make bench-recovery  recovery, timed"
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

# Longer than CI: seeds of the simulation, a line of progress now and then, and what struck in the end.
# SEEDS=100000 make soak; stopped, it says where to go on: FROM=2000 SEEDS=98000 make soak. SIZE=day for whole days.
# First every point at which a real agent can be killed or frozen (about half an hour), each framework killed 30
# times at random (about ten minutes), and the model, whole (half an hour).
soak: setup
	@OUTLAST_SWEEP=all $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal tests/chaos/test_agent_sweep.py tests/chaos/test_controller_killed.py
	@OUTLAST_KILLS=30 $(BIN)/python -m pytest -s -n 0 tests/chaos/test_frameworks.py
	@OUTLAST_MODEL=full $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal tests/model
	@$(BIN)/python -m tests.sim --size $${SIZE:-short} --seed $${FROM:-0} --count $${SEEDS:-100000} --workers $(PYTEST_WORKERS)

bench: setup
	@$(BIN)/python -m tests.bench

# 20 interruptions of each kind, about 10 minutes; BENCH_ARGS="--of-each 5" for fewer.
bench-recovery: setup
	@$(BIN)/python -m tests.bench.recovery $(BENCH_ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist demo-report.html
