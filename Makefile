# Every target makes what it needs; the newest packages:
# `make test PYTHON=python3.12 VENV=.venv312 LOCK=`.
PYTHON ?= python3.11
VENV ?= .venv
LOCK ?= requirements-lock-py311.txt
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check $(if $(LOCK),--constraint $(LOCK))
DEMO ?= runs/demo

.PHONY: demo demo-train test test-slow lint format clean

$(VENV)/.core: pyproject.toml requirements.txt $(LOCK)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) --editable .[dev]
	touch $@

demo: $(VENV)/.core
	$(BIN)/python -m colorjax.demo $(DEMO)

demo-train: $(VENV)/.core
	$(BIN)/python -m colorjax.main --config=configs/plain_cnn.py:demo --workdir=$(DEMO)/train
	$(BIN)/python -m colorjax.demo $(DEMO)/train --checkpoint $(DEMO)/train

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m "not slow" -q

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m slow -q

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyrefly check

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info
