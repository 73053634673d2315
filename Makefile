# Two commands matter: `make run` serves, `make test` proves. Both install what they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
FUZZ_S ?= 600
PYTEST = $(BIN)/pytest -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast check format bench fuzz ui docs lock clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | column -t -s "$$(printf '\t')"

setup: $(STAMPS)/dev $(STAMPS)/ui $(STAMPS)/system ## install all that running, testing and checking need

run: $(STAMPS)/run $(STAMPS)/ui ## serve on http://127.0.0.1:8627 with data in ./data
	@exec $(BIN)/tocsin serve

test: $(STAMPS)/dev $(STAMPS)/ui $(STAMPS)/system ## every test, the browser's too
	$(PYTEST) -m "not browser and not process"
	$(PYTEST) -m "browser or process"
	cd ui && npm test

test-fast: $(STAMPS)/dev ## the tests that need neither a browser nor a process of their own
	$(PYTEST) -m "not browser and not process"

check: $(STAMPS)/dev $(STAMPS)/ui ## lint, types, room boundaries
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd ui && npm run check

format: $(STAMPS)/dev ## put the sources into their form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(STAMPS)/dev $(STAMPS)/ui ## the figures: see bench/README.md
	$(BIN)/python -m bench

fuzz: $(STAMPS)/dev ## every parser for ten minutes (FUZZ_S seconds); what is found is in .fuzz
	@for name in $$($(BIN)/python -m tests.fuzz); do $(BIN)/python -m tests.fuzz $$name $(FUZZ_S) || exit 1; done

ui: $(STAMPS)/ui ## build the web UI into the package

docs: $(STAMPS)/dev ## write the generated reference pages
	$(BIN)/python -m tocsin.app.reference docs/reference

clean: ## remove what was installed and built, not the data
	rm -rf $(VENV) $(STAMPS) ui/node_modules src/tocsin/api/static

$(STAMPS)/venv:
	@sh tools/need.sh python "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: $(STAMPS)/venv requirements.lock pyproject.toml setup.py $(shell find src -name '*.pyx' -o -name '*.pxd')
	@sh tools/need.sh compiler "$(BIN)/python"
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/run requirements-dev.lock
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(STAMPS)/node: ui/package.json ui/package-lock.json
	@sh tools/need.sh node
	cd ui && npm ci --no-fund --no-audit --loglevel=error
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/ui: $(STAMPS)/node $(shell find ui -path ui/node_modules -prune -o -type f -print)
	cd ui && npm run build --silent
	@touch $@

$(STAMPS)/system:
	@sh tools/need.sh tests
	@mkdir -p $(STAMPS) && touch $@

lock: $(STAMPS)/venv ## resolve the dependencies anew into the lock files
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) --extra build --extra dev pyproject.toml --output-file requirements-dev.lock
	$(BIN)/uv pip compile $(LOCK) --extra build --constraint requirements-dev.lock pyproject.toml --output-file requirements.lock

LOCK = --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade
