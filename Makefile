# The five things people do here. Each makes its own virtual environment and installs what it needs.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: help demo test lint long bench bench-blast bench-queue bench-core bench-split dashboards clean

help:
	@echo "make demo   watch the main job, about a minute, no root needed"
	@echo "make test   every promise in its short form (installs nginx, redis, postgresql, chromium, prometheus from apt where it may)"
	@echo "make lint   ruff, mypy --strict, import contracts"
	@echo "make long   kills, holds and repeats at full size"
	@echo "make bench  against peers, in one run, as ratios"

# One stamp an environment: it is made again when pyproject.toml changes.
$(BIN)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@

$(BIN)/.dev: $(BIN)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

demo: $(BIN)/.run
	$(BIN)/darktime demo

test: $(BIN)/.dev
	PYTHON=$(BIN)/python sh tests/support/install_engines.sh
	$(BIN)/python -m pytest -m "not long and not quiet" -n 3 --dist loadfile tests $(PYTEST)
	$(BIN)/python -m pytest -m "quiet and not long" tests $(PYTEST)

lint: $(BIN)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

long: $(BIN)/.dev
	PYTHON=$(BIN)/python sh tests/support/install_engines.sh
	$(BIN)/python -m pytest -m long --timeout 900 --long-page docs/long.md $(PYTEST)

bench: $(BIN)/.dev
	$(BIN)/python -m tests.bench

bench-split: $(BIN)/.dev
	PYTHON=$(BIN)/python sh tests/support/install_engines.sh
	$(BIN)/python -m tests.bench splitter relay

bench-blast: $(BIN)/.dev
	$(BIN)/python -m tests.bench blast streams

bench-queue: $(BIN)/.dev
	$(BIN)/python -m tests.bench queue

bench-core: $(BIN)/.dev
	$(BIN)/python -m tests.bench core

dashboards: $(BIN)/.dev
	$(BIN)/python -m dashboards.build

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
