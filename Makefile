# One virtual environment, made on first use and again when its inputs change.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Where the connector runs besides, each with packages that exclude ours.
HOMES  := .venv-builder/.ready .venv-pyairbyte/.ready

# What `make check` tests: the files that need neither a process for each test nor a large site.
QUICK  := components config fake_confluence layout pagination openapi project

.DEFAULT_GOAL := help
.PHONY: help setup demo check test live lint format types derived check-derived recipes bench golden site faults cdk

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@echo "Filling $(VENV): this takes a minute, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev,demo]' --constraint constraints.txt
	@touch $@

.venv-%/.ready: requirements/%.txt
	@echo "Filling .venv-$*: this takes a minute, once."
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --no-deps --no-compile --requirement $<
	@touch $@

setup: $(READY) ## Fill .venv, as the other targets do when they need it: the connector is in .venv/bin

demo: $(READY) ## Sync a Confluence site into DuckDB and draw a report: the embedded one, or CONFIG=secrets/config.json
	$(BIN)/python -m tools.demo $(if $(CONFIG),--config $(CONFIG)) $(STREAMS)

check: $(READY) lint types check-derived ## What can fail within a minute, for while you work
	$(BIN)/python -m pytest --numprocesses 2 $(QUICK:%=unit_tests/test_%.py) -k 'not installed and not wheel'

test: $(READY) $(HOMES) lint types check-derived ## Lint, check types and derived files, run all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -rs

live: $(READY) ## Try the connector on your own site: secrets/config.json
	$(BIN)/python -m pytest integration_tests -rs

lint: $(READY) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## Format the code, and correct what can be corrected
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## Check types
	$(BIN)/mypy

derived: $(READY) ## Write every derived file: schemas in the manifest, tables in the documentation
	$(BIN)/python -m tools.derive

check-derived: $(READY)
	$(BIN)/python -m tools.derive --check

recipes: demo ## Write docs/recipes.md with what the recipes answer in the demo's database
	$(BIN)/python -m tools.recipes demo/confluence.duckdb

# dlt gets an environment of its own: its versions exclude ours.
build/peers/%/.ready: benchmarks/peers/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	@touch $@

bench: $(READY) build/peers/dlt/.ready ## Measure the connector beside others (20 minutes; ARGS=--quick: 3)
	$(BIN)/python -m benchmarks $(ARGS)

faults: $(READY) ## Read every family of streams under every fault, and write the table of docs/promises.md (some minutes)
	$(BIN)/python -m pytest unit_tests/test_faults.py --all-faults -k 'every'

cdk: ## Try another version of the CDK: make cdk VERSION=7.40.0 (takes some minutes)
	$(PYTHON) -m venv build/cdk
	build/cdk/bin/python -m pip install --quiet --editable '.[dev,demo]' --constraint constraints.txt
	build/cdk/bin/python -m pip install --quiet 'airbyte-cdk[manifest-server]==$(VERSION)'
	build/cdk/bin/python -m pytest unit_tests/test_components.py unit_tests/test_streams.py unit_tests/test_errors.py \
		unit_tests/test_incremental.py unit_tests/test_faults.py --numprocesses 2 --dist loadfile

golden: $(READY) ## Write the records that the tests expect; look at the difference before you commit it
	$(BIN)/python -m tools.golden

site: $(READY) ## Serve the embedded Confluence site on http://127.0.0.1:8090
	$(BIN)/python -m fake_confluence --port 8090
