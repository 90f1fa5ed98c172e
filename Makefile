# One virtual environment, created on first use and again when its inputs change.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Other environments: their packages conflict with ours.
HOMES  := .venv-builder/.ready .venv-pyairbyte/.ready .venv-release/.ready .venv-qa/.ready .venv-engines/.ready

# uv installs in a third of pip's time, and takes packages from the index that pip is set up for.
INDEX   = $(or $(PIP_INDEX_URL),$(shell $(PYTHON) -m pip config get global.index-url 2>/dev/null))
UV      = UV_SYSTEM_CERTS=1 $(if $(INDEX),UV_DEFAULT_INDEX=$(INDEX))
INSTALL = $(UV) $(BIN)/uv pip install --quiet --python $(@D) --compile-bytecode

# Two targets at a time.
MAKEFLAGS += --jobs=2

# The tests of `make check`: files that need neither a process for each test nor a large site.
QUICK  := components config fake_confluence layout pagination openapi project

.DEFAULT_GOAL := help
.PHONY: help setup demo check test live lint format types derived check-derived recipes bench peers golden site faults cdk dist

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@echo "Installing into $(VENV): about a minute, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv --constraint constraints.txt
	$(INSTALL) --editable '.[dev,demo]' --constraint constraints.txt
	@touch $@

.venv-%/.ready: requirements/%.txt | $(READY)
	@echo "Installing into .venv-$*: about half a minute, once."
	$(PYTHON) -m venv .venv-$*
	$(INSTALL) --no-deps --requirement $<
	@touch $@

setup: $(READY) ## Install the connector into .venv; the other targets do it when they need it

demo: $(READY) ## Sync the embedded site, or that of CONFIG=secrets/config.json, into DuckDB and draw a report
	@$(BIN)/python -m tools.demo $(STREAMS) $(if $(CONFIG),--config $(CONFIG)) \
		$(if $(WITH),--with $(WITH)) $(if $(WITHOUT),--without $(WITHOUT))

check: $(READY) lint types check-derived ## Run the fast checks and tests (a minute), for use while you work
	$(BIN)/python -m pytest --numprocesses 2 -rs $(QUICK:%=unit_tests/test_%.py) -k 'not installed and not wheel'

# Three workers on two cores: a sixth of the time tests wait for processes and sockets.
test: $(READY) $(HOMES) lint types check-derived ## Run all checks and tests (about a quarter of an hour on two cores)
	$(UV) $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -rs $(ARGS)

live: $(READY) ## Test the connector on your own site: secrets/config.json
	$(BIN)/python -m pytest integration_tests -rs

lint: $(READY) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## Format the code, and correct what can be corrected
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

types: $(READY) ## Check types
	$(BIN)/mypy

derived: $(READY) ## Write all derived files: schemas in the manifest, tables in the documentation
	$(BIN)/python -m tools.derive

check-derived: $(READY)
	$(BIN)/python -m tools.derive --check

recipes: demo ## Write docs/recipes.md with the results of the recipes in the demo's database
	$(BIN)/python -m tools.recipes demo/confluence.duckdb

# dlt has a separate environment: its versions conflict with ours.
build/peers/%/.ready: benchmarks/peers/%.txt | $(READY)
	$(PYTHON) -m venv $(@D)
	$(INSTALL) --requirement $<
	@touch $@

bench: $(READY) build/peers/dlt/.ready ## Compare the connector with other readers (20 minutes; ARGS=--quick: 3)
	$(BIN)/python -m benchmarks $(ARGS)

peers: $(READY) ## Renew the versions of dlt and of its dependencies for the benchmarks
	echo 'dlt[duckdb]' | $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade \
		--no-annotate --custom-compile-command 'make peers' --output-file benchmarks/peers/dlt.txt -

faults: $(READY) ## Read every family of streams under every fault, and write the table of docs/promises.md (some minutes)
	$(BIN)/python -m pytest unit_tests/test_faults.py --all-faults -k 'every'

cdk: ## Test another version of the CDK: make cdk VERSION=7.40.0 (some minutes)
	$(PYTHON) -m venv build/cdk
	build/cdk/bin/python -m pip install --quiet --editable '.[dev,demo]' --constraint constraints.txt
	build/cdk/bin/python -m pip install --quiet 'airbyte-cdk[manifest-server]==$(VERSION)'
	build/cdk/bin/python -m pytest unit_tests/test_cdk_names.py unit_tests/test_components.py unit_tests/test_streams.py unit_tests/test_errors.py \
		unit_tests/test_incremental.py unit_tests/test_faults.py --numprocesses 2 --dist loadfile

dist: $(READY) .venv-release/.ready ## Build wheel, sdist and bill of materials, and try them in an empty environment
	$(UV) $(BIN)/python -m tools.dist

golden: $(READY) ## Write the records that the tests expect; review the diff before you commit it
	$(BIN)/python -m tools.golden

site: $(READY) ## Serve the embedded Confluence site on http://127.0.0.1:8090
	$(BIN)/python -m fake_confluence --port 8090
