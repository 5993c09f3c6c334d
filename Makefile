# Every target makes what it needs; the newest packages:
# `make test PYTHON=python3.12 VENV=.venv312 LOCK=`.
PYTHON ?= python3.11
VENV ?= .venv
LOCK ?= requirements-lock-py311.txt
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check $(if $(LOCK),--constraint $(LOCK))
DEMO ?= runs/demo
# `make results DATA=FOLDER`, with train/ and val/ in it: what the tables of README.md need.
DATA ?= ../shared/data/tinyimagenet
RESULTS ?= runs/results

.PHONY: demo demo-train results test test-slow lint format clean

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

SWEEP := $(BIN)/python -m colorjax.sweep
TINY := --config.data.path=$(DATA)/train --config.data.eval_path=$(DATA)/val
SHORT := $(TINY) --config.total_steps=1200 --config.eval_every=0

# Hours on two cores. Stopped, it goes on where it was; what is finished is not trained again.
results: $(VENV)/.core
	$(SWEEP) --config=configs/edge_fusion.py:width=0.25 --workdir=$(RESULTS)/edge_fusion \
	    --name=saturation --vary data.saturation=1.0,1.4,1.6,1.8,2.0 --vary model.edges=canny \
	    --vary seed=0 $(SHORT)
	$(SWEEP) --config=configs/edge_fusion.py:width=0.25 --workdir=$(RESULTS)/edge_fusion \
	    --name=edges --vary data.saturation=1.0,1.8 --vary model.edges=canny,off \
	    --vary seed=0,1 $(SHORT)
	$(SWEEP) --config=configs/iizuka.py:width=0.25 --workdir=$(RESULTS)/iizuka \
	    --vary loss.alpha=0.0033333333,0 --vary seed=0,1 $(SHORT)
	for variant in l2 class full; do \
	    $(BIN)/python -m colorjax.main --config=configs/zhang16.py:width=0.25,variant=$$variant \
	        --workdir=$(RESULTS)/zhang16_$$variant $(SHORT) || exit; done
	$(BIN)/python -m colorjax.main --config=configs/zhang17.py:width=0.25 \
	    --workdir=$(RESULTS)/zhang17 $(SHORT)
	$(BIN)/python -m colorjax.main --config=configs/plain_cnn.py --workdir=$(RESULTS)/plain_cnn \
	    $(TINY) --config.total_steps=2400 --config.optimizer.schedule=cosine \
	    --config.eval_every=600 --config.checkpoint_every=200

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" -q

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
