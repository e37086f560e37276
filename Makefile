# The front door: `make run` brings the whole system up from nothing, `make test` tests it. `make help` lists the rest.

# compiled once, every later process starts in half the time
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run simulate status rebuild erase backup restore pictures test check format lock licences bench bench-setup bench-serving bench-serving-setup clean

VENV := .venv
PYTHON := $(VENV)/bin/python
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
BENCH_STAMP := $(VENV)/.installed-bench
# mlflow and BentoML need other releases of the project's dependencies, so they have their own environment
BENCH_VENV := .venv-bench
BENCH_SERVING_STAMP := $(BENCH_VENV)/.installed-bench-serving
EXTRAS_run := --extra serving --extra pipeline --extra object-store --extra standalone
EXTRAS_dev := $(EXTRAS_run) --extra launchers --extra dev
EXTRAS_bench := --extra bench
EXTRAS_bench-serving := --extra bench-serving
EXTRAS_serving := --extra serving --extra object-store
EXTRAS_pipeline := --extra pipeline --extra launchers --extra object-store
COMPILE := $(PYTHON) -m uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-emit-index-url --no-header $(UPGRADE)

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: $(RUN_STAMP) ## install the dependencies of `make run`, without starting anything

run: $(RUN_STAMP) ## start everything: PostgreSQL, Dagster, the HTTP server; Ctrl-C stops it
	@exec $(PYTHON) -m standalone run

simulate: $(RUN_STAMP) ## show how to simulate a CRM of any size
	@$(PYTHON) -m standalone simulate --help

status: $(RUN_STAMP) ## show how the system stands, while `make run` goes on, and what to do about each problem
	@$(PYTHON) -m standalone status

rebuild: $(RUN_STAMP) ## train a version again and compare its files, byte for byte: make rebuild ORG=… VERSION=…
	@$(PYTHON) -m standalone rebuild "$(ORG)" "$(VERSION)"

erase: $(RUN_STAMP) ## erase an org's leads, or one lead, while `make run` goes on: make erase ORG=… [LEAD=…] [MODELS=yes]
	@$(PYTHON) -m standalone erase --org "$(ORG)" $(if $(LEAD),--lead "$(LEAD)") $(if $(MODELS),--models)

backup: $(RUN_STAMP) ## save models, tokens and database into a new file, also while `make run` goes on: make backup FILE=…
	@$(PYTHON) -m standalone backup "$(FILE)"

restore: $(RUN_STAMP) ## restore a backup where there is no data yet: make restore FILE=…
	@$(PYTHON) -m standalone restore "$(FILE)"

pictures: $(RUN_STAMP) ## take the documents' pictures again, in Chromium, while `make run` goes on with the demo
	@$(PYTHON) -m standalone.pictures

test: $(DEV_STAMP) ## run every test
	$(PYTHON) -m pytest -n 2 --dist loadgroup $(TESTS)

check: $(DEV_STAMP) ## check style, types, architecture, Dagster's definitions and commit subjects
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports
	@home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && echo 'telemetry: {enabled: false}' > "$$home/dagster.yaml" && \
	  VIRTUAL_ENV=$(CURDIR)/$(VENV) DAGSTER_HOME=$$home $(VENV)/bin/dg check defs
	@$(PYTHON) .ci/commit_subjects.py

format: $(DEV_STAMP) ## format the code, and fix what the linter can fix
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

bench: $(DEV_STAMP) ## measure how the extraction scales; CONTRIBUTING.md lists the other benchmarks
	$(PYTHON) -m benchmarks.models.extraction

bench-serving: $(DEV_STAMP) $(BENCH_SERVING_STAMP) ## compare predictions with an empty answer, naive serving, mlflow and BentoML
	$(PYTHON) -m benchmarks.serving

bench-serving-setup: $(BENCH_SERVING_STAMP) ## install the servers that bench-serving compares with, into .venv-bench

bench-setup: $(BENCH_STAMP) ## install the libraries that `python -m benchmarks.models.field` compares with

lock: $(DEV_STAMP) ## pin all dependencies again (UPGRADE=--upgrade takes newer releases)
	$(COMPILE) $(EXTRAS_dev) pyproject.toml -o requirements/dev.txt
	$(foreach part,run serving pipeline bench bench-serving,$(COMPILE) $(EXTRAS_$(part)) -c requirements/dev.txt \
	  pyproject.toml -o requirements/$(part).txt &&) true

licences: $(DEV_STAMP) ## write docs/licences.md again, after `make lock`
	@$(PYTHON) requirements/licences.py docs/licences.md

clean: ## remove everything that `make run` keeps in STATE_DIR: database, logs, models
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

$(BENCH_SERVING_STAMP): requirements/bench-serving.txt | $(BENCH_VENV)/.made
	@./requirements/install requirements/bench-serving.txt $(BENCH_VENV)
	@touch $@

$(VENV)/.made $(BENCH_VENV)/.made: requirements/uv.txt
	@./requirements/make-venv $(@D)
	@touch $@
