# The doors of the house. Each sets itself up: Python packages into .venv, Go and npm parts into the user's cache.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: demo up down check unit one test fuzz bench package format clean

demo: $(READY)
	$(PY) -m tools.demo

up: $(READY)
	$(PY) -m tools.environment up

down: $(READY)
	$(PY) -m tools.environment down

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(PY) -m tools.crds --check
	$(PY) -m tools.dashboard --check
	$(PY) -m tools.limits --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Tests run side by side, a file on one core at a time; each core has parts of its own (control plane, Azurite, Git server).
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile

unit: $(READY)
	$(PY) -m pytest tests/unit -m "not binaries" $(SIDE_BY_SIDE)

one: $(READY)
	$(PY) -m pytest $(T)

test: $(READY)
	$(PY) -m pytest -m "not alone" $(SIDE_BY_SIDE)
	$(PY) -m pytest -m alone

fuzz: $(READY)
	$(PY) -m tools.fuzz

bench: $(READY)
	$(PY) -m tools.bench

package: $(READY)
	$(PY) -m tools.package

format: $(READY)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

$(READY): requirements.txt pyproject.toml tools/setup.sh
	tools/setup.sh $(VENV)
	touch $(READY)

clean:
	rm -rf $(VENV) .fluxless
