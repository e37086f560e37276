# The front door: `make run` brings the whole system up from nothing, `make test` tests it. `make help` lists the rest.

# compiled once, every later process starts in half the time
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run simulate rebuild test check format lock bench bench-setup clean

VENV := .venv
PYTHON := $(VENV)/bin/python
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
BENCH_STAMP := $(VENV)/.installed-bench
EXTRAS_run := --extra serving --extra pipeline --extra standalone
EXTRAS_dev := $(EXTRAS_run) --extra dev
EXTRAS_bench := --extra bench
EXTRAS_serving := --extra serving
EXTRAS_pipeline := --extra pipeline
COMPILE := $(PYTHON) -m uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-emit-index-url --no-header $(UPGRADE)

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(RUN_STAMP) ## install what a run needs, without starting anything

run: $(RUN_STAMP) ## start everything: PostgreSQL, Dagster, the HTTP server; Ctrl-C stops it
	@exec $(PYTHON) -m standalone run

simulate: $(RUN_STAMP) ## show how to simulate a CRM of any size
	@$(PYTHON) -m standalone simulate --help

rebuild: $(RUN_STAMP) ## train a version again and compare it, byte for byte: make rebuild ORG=… VERSION=…
	@$(PYTHON) -m standalone rebuild "$(ORG)" "$(VERSION)"

test: $(DEV_STAMP) ## run every test
	$(PYTHON) -m pytest -n 2 --dist loadgroup $(TESTS)

check: $(DEV_STAMP) ## lint, types, and the architecture's contracts
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports

format: $(DEV_STAMP) ## format the code and mend what the linter can
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

bench: $(DEV_STAMP) ## measure how the extraction grows; the other benchmarks are listed in CONTRIBUTING.md
	$(PYTHON) -m benchmarks.extraction

bench-setup: $(BENCH_STAMP) ## install what our forest is compared with, for `python -m benchmarks.field`

lock: $(DEV_STAMP) ## pin every dependency again (UPGRADE=--upgrade for newer releases)
	$(COMPILE) $(EXTRAS_dev) pyproject.toml -o requirements/dev.txt
	for part in run serving pipeline bench; do \
	  case $$part in run) extras="$(EXTRAS_run)";; serving) extras="$(EXTRAS_serving)";; \
	    bench) extras="$(EXTRAS_bench)";; *) extras="$(EXTRAS_pipeline)";; esac; \
	  $(COMPILE) $$extras -c requirements/dev.txt pyproject.toml -o requirements/$$part.txt || exit 1; \
	done

clean: ## forget everything that `make run` keeps in STATE_DIR: database, logs, trained models
	@./standalone/clean "$${STATE_DIR:-.leadscore}"

$(RUN_STAMP): requirements/run.txt | $(VENV)/.made
	@./requirements/install requirements/run.txt
	@touch $@

$(DEV_STAMP): requirements/dev.txt | $(VENV)/.made
	@./requirements/install requirements/dev.txt
	@touch $@

$(BENCH_STAMP): requirements/bench.txt $(DEV_STAMP)
	@./requirements/install requirements/bench.txt
	@touch $@

$(VENV)/.made: requirements/uv.txt
	@./requirements/make-venv $(VENV)
	@touch $@
