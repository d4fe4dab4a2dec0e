# `make demo` and `make test` do all of their own set-up; nothing has to be run first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
STAMP := $(VENV)/.installed
# Fast tests share nothing but the machine. Slow ones start servers and clusters and wait for them half of the time: two
# files at once keep two cores busy. In the order of their names the longest, of flows and infra, are among the first.
FAST := -n logical --maxprocesses 4 --dist loadfile
SLOW := -n 2 --dist loadfile --no-loadscope-reorder --durations=20

export RAY_USAGE_STATS_ENABLED := 0
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true

# Packages are installed without bytecode. Where Python may not write it either, each of the hundreds of processes that
# tests start compiles PyTorch, Ray, MLflow and Prefect anew, which takes longer than what it does with them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP)  ## Create the virtual environment with the pinned packages
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "pcakd needs Python 3.11 or newer; try: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (about 6 GB, under a minute with a warm cache)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(STAMP)

demo: $(STAMP)  ## Run the whole pipeline on real photographs, in ./demo (under 5 minutes on 2 cores)
	@$(BIN)/python -m flows.demo

models: $(STAMP)  ## Make the built-in students: PHOTOS=FOLDER TEACHERS="FILE FILE" JUDGE=FILE (hours, resumable)
	@$(BIN)/python -m flows.models "$(PHOTOS)" $(foreach t,$(TEACHERS),--teacher $(t)) $(if $(JUDGE),--judge $(JUDGE)) $(MODELS)

up: $(STAMP)  ## Start the local stack: Prefect, MLflow, Ray, a worker and the page, as plain processes
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m infra.stack up

automations: $(STAMP)  ## Let Prefect tell of failures, overruns and champions: AUTOMATIONS="--webhook URL"
	@$(BIN)/python -m infra.automations $(AUTOMATIONS)

restart: $(STAMP)  ## Stop and start the local stack: it takes the settings of this shell
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m infra.stack restart

down: $(STAMP)  ## Stop the local stack; its data stays
	@$(BIN)/python -m infra.stack down

check: $(STAMP)  ## Lint, format check, types, layers and names, pages, and the infrastructure's files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/vulture
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_names.py tests/test_docs.py
	$(BIN)/python -m infra.check

format: $(STAMP)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-deps: $(STAMP)  ## Install what the integration tests need beside Python packages (Debian packages)
	@bash tests/servers/install.sh

test-assets: $(STAMP)  ## Fetch what tests need and the project does not ship: released weights (TEST_ASSETS=FOLDER)
	@$(BIN)/python -m tests.assets.fetch $(TEST_ASSETS)

test: $(STAMP) test-deps  ## Run all tests: fast ones, slow ones, those that nothing may run beside
	$(BIN)/python -m pytest -m "not slow" -q $(FAST)
	$(BIN)/python -m pytest -m "slow and not alone" -q $(SLOW)
	$(BIN)/python -m pytest -m alone --durations=5

test-fast: $(STAMP)  ## Run the fast tests (about 4 minutes on 2 cores)
	$(BIN)/python -m pytest -m "not slow" $(FAST)

test-pythons: $(STAMP)  ## Install the wheel under every Python here, with each extra, and run it (fetches gigabytes)
	@$(BIN)/python -m tests.pythons

bench: $(STAMP)  ## Measure speed and memory; results in build/benchmarks/ (BENCH="--sizes 1280x720" for less)
	$(BIN)/python -m benchmarks.looks $(LOOKS)
	$(BIN)/python -m benchmarks.performance $(BENCH)

gpu-check: $(STAMP)  ## Check and measure the GPU path, once, on a machine with a GPU (GPU_CHECK="--device cpu" checks the script)
	$(BIN)/python -m benchmarks.gpu_check $(GPU_CHECK)

lock: $(STAMP)  ## Renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra pipeline --extra dev --constraint requirements.lock \
		--python-version 3.11 --universal --no-header --no-annotate --no-emit-index-url --output-file requirements.lock --quiet

clean:  ## Remove the virtual environment and everything built
	rm -rf $(VENV) build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache

.PHONY: help install demo models up automations restart down check format test-deps test-assets test test-fast test-pythons bench gpu-check lock clean
