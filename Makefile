# Anjuan: `make up` is all that a new machine needs. `make help` lists the rest.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && exit; \
	done; echo python3)
VENV_PYTHON = .venv/bin/python
FILE_DATA_DIR := $(shell sed -n 's/^ANJUAN_DATA_DIR=//p' .env 2>/dev/null | tail -n 1)
DATA_DIR = $(or $(ANJUAN_DATA_DIR),$(FILE_DATA_DIR),.anjuan)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help up test prove check bench bench-scale down reset lock doctor

help: ## list the targets
	@echo "Anjuan (案卷). Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

up: ## start everything on this machine: servers, API, worker, demo data
	@$(PYTHON) infra/bootstrap.py
	@exec .venv/bin/anjuan up $(ARGS)

test: ## run the tests on real servers; ARGS="-k word" chooses some
	@$(PYTHON) infra/bootstrap.py --dev
	@$(VENV_PYTHON) -m pytest $(ARGS)

prove: ## two worlds that differ in what a role may not see answer it alike: every question, both engines
	@$(PYTHON) infra/bootstrap.py --dev
	@$(VENV_PYTHON) -m tests.proof $(ARGS)

check: ## lint, types, import layers, and whether the committed SDL is the schema's
	@$(PYTHON) infra/bootstrap.py --dev
	@$(VENV_PYTHON) -m ruff check
	@$(VENV_PYTHON) -m ruff format --check
	@$(VENV_PYTHON) -m mypy service schema search infra
	@.venv/bin/lint-imports
	@.venv/bin/anjuan sdl --check

bench: ## measure it against bare servers; writes tests/bench/latest.json
	@$(PYTHON) infra/bootstrap.py --dev
	@$(VENV_PYTHON) -m tests.bench $(ARGS)

bench-scale: ## measure reads at 10,000, 100,000 and a million customers; writes tests/bench/scale.json
	@$(PYTHON) infra/bootstrap.py --dev
	@$(VENV_PYTHON) -m tests.bench.scale $(ARGS)

down: ## stop a running `make up`; the data is kept
	@test -x $(VENV_PYTHON) || { echo "Nothing is installed here, so nothing runs."; exit 1; }
	@$(VENV_PYTHON) -m infra.local down "$(DATA_DIR)"

reset: ## remove the data directory, after asking (YES=1 does not ask)
	@test -x $(VENV_PYTHON) || { echo "Nothing is installed here. Remedy: make up"; exit 1; }
	@$(VENV_PYTHON) -m infra.local reset "$(DATA_DIR)" $(if $(YES),--yes)

lock: ## compile the lock files from pyproject.toml; ARGS=--upgrade takes newer versions
	@$(PYTHON) infra/bootstrap.py --lock $(ARGS)

doctor: ## check every part and say what is wrong
	@$(PYTHON) infra/bootstrap.py
	@.venv/bin/anjuan doctor $(ARGS)
