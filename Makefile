# Every target sets itself up: `make test` on a fresh clone needs Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint validate bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,plots]'
	touch $@

demo: $(READY)  ## a corpus, three tiny reward models, every task, a leaderboard: no network
	$(BIN)/reward-harness demo --out demo

test: $(READY)  ## two processes of one thread each: more threads than cores wait for each other
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tasks

validate: $(READY)  ## the simulations behind the statistics, in full: what `make test` runs in part
	$(BIN)/python -m tests.tasks.feature_imprint.trust
	$(BIN)/python -m tests.tasks.neuron_ablation.trust

bench: $(READY)  ## ratios in one run, kept under results/performance
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only -o addopts= -q

clean:
	rm -rf $(VENV) demo build *.egg-info
