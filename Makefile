# Every target makes what it needs; the newest packages:
# `make test PYTHON=python3.12 VENV=.venv312 LOCK=`.
PYTHON ?= python3.11
VENV ?= .venv
LOCK ?= requirements-lock-py311.txt
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check $(if $(LOCK),--constraint $(LOCK))
DEMO ?= runs/demo
# What the tables of README.md need: `make results DATA=TINYIMAGENET CIFAR=CIFAR10`, folders of
# photos, one with train/ and val/ in it, the other with train/ and test/.
DATA ?= tinyimagenet
CIFAR ?= cifar10
RESULTS ?= runs/results

.PHONY: demo demo-train results results-equal-time results-semantic results-val5k \
    results-tinyimagenet results-cifar10 results-knobs test test-slow test-faults test-page browser docs \
    lint format clean

$(VENV)/.core: pyproject.toml setup.py requirements.txt $(LOCK)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) --editable .[dev]
	touch $@

demo: $(VENV)/.core
	$(BIN)/colorjax compare --data sample_photos --output $(DEMO) --overwrite

demo-train: $(VENV)/.core
	$(BIN)/python -m colorjax.main --config=configs/plain_cnn.py:demo --workdir=$(DEMO)/train
	$(BIN)/colorjax compare $(DEMO)/train --data sample_photos --output $(DEMO)/compared --overwrite

MAIN := $(BIN)/python -m colorjax.main
SWEEP := $(BIN)/colorjax sweep
TINY := --config.data.path=$(DATA)/train --config.data.eval_path=$(DATA)/val
SHORT := $(TINY) --config.total_steps=1200 --config.eval_every=0
U64 := width=0.25,batch=32,size=64
U32 := width=0.25,batch=64
RARELY := --config.eval_every=0 --config.checkpoint_every=200 --config.log_every=50
PHASES := --config.features.share=0.15 --config.nogan.shares="(0.7,0.15,0.15)" --config.log_every=10

# Hours on two cores. Stopped, it goes on where it was; what is finished is not trained again.
results: results-equal-time results-tinyimagenet results-cifar10 results-knobs

# The first tables of docs/results.md. DATA: a folder with train/ and val/, or shards of `colorjax
# prepare`; PHOTOS: test photos. Each method learns for MINUTES, once for each of the SEEDS.
# EQUAL_FLAGS: `--config.FIELD=VALUE` of every training.
EQUAL := $(RESULTS)/equal_time
METHODS := semantic unet unet_l1 plain_cnn iizuka edge_fusion cgan nogan zhang16_l2 zhang16_full \
    zhang17
SEEDS ?= 0 1 2
MINUTES ?= 10
EQUAL_FLAGS ?=
PHOTOS ?= $(DATA)/val
EQUAL_RUNS = $(foreach method,$(METHODS),$(addprefix $(EQUAL)/$(method)-,$(SEEDS)))
results-equal-time: $(VENV)/.core
	$(PIP) --editable .[encoders]
	mkdir -p $(EQUAL)
	$(BIN)/python -m benchmarks.equal_time --data $(DATA) --workdir $(EQUAL) \
	    --minutes $(MINUTES) --size 128 --batch 16 --seeds $(SEEDS) --methods $(METHODS) \
	    $(EQUAL_FLAGS) \
	    > $(EQUAL)/rows.jsonl
	$(BIN)/colorjax evaluate semantic-lite0 $(EQUAL_RUNS) --suite folder --size 128 \
	    --data $(PHOTOS) --output $(EQUAL)/measured
	$(BIN)/python -m benchmarks.results_table $(EQUAL)/measured/result.json \
	    --equal-time $(EQUAL)/rows.jsonl

# The weights that ship, docs/weights.md, which `python -m colorjax.weights.pack` packs:
# `make results-semantic DATA=PHOTOS TEST=TEST_PHOTOS`.
# PHOTOS: a folder, or a zip, with a folder for each source; SEEN: how often photos of a source are
# seen (`SEEN=` for other sources). TEST: folders of photos that are never trained on. It learns for
# STEPS from small crops, then for COOLDOWN steps from larger ones, while the learning rate falls to
# 0. Hours on a core; on a GPU larger: SEMANTIC=:imagenet STEPS=100000 LAST=:imagenet COOLDOWN=15000.
SEM := $(RESULTS)/semantic
TEST ?=
SEMANTIC ?= :size=96,batch=28
LAST ?= :size=160,batch=12
STEPS ?= 18000
COOLDOWN ?= 8000
SEEN ?= ade20k_val2000=2 flickr8k_1000=2 coco100_train2014=2 unsplash1254=1.5 sun_scenes=1.5 \
    intel_scenes=0.6 imagenette2=0.5 caltech101=0.4 imagewoof2_320=0.3 catsdogs=0.3 grocery=0.15 \
    butterflies=0.2 flowers4317=0.25 clothing=0.3 camvid=0.3 faces_nomask=0.5 ccp_fashion=0.6
empty :=
comma := ,
quote := "
WEIGHTS = ($(foreach pair,$(SEEN),($(quote)$(subst =,$(quote)$(comma),$(pair)))$(comma)))
SEMANTIC_RUN = --config.data.name=array_record --config.data.path=$(SEM)/shards \
    --config.data.eval_fraction=0.02 --config.data.eval_limit=100 \
    --config.data.validation_fraction=0.02 --config.data.min_chroma=4.0 \
    --config.data.low_chroma_rate=0.5 '--config.data.weights=$(WEIGHTS)' \
    --config.loss.prior=$(SEM)/prior.npz --config.optimizer.ema_decay=0.998 \
    --config.optimizer.warmup_steps=100 --config.eval_every=0 --config.checkpoint_every=250
results-semantic: $(VENV)/.core
	$(PIP) --editable .[encoders]
	$(BIN)/colorjax prepare $(DATA) --output $(SEM)/shards --shards 4 --size 224 --quality 90 \
	    --min-side 128 $(addprefix --exclude ,$(TEST))
	test -f $(SEM)/prior.npz || $(BIN)/colorjax prior $(SEM)/shards --output $(SEM)/prior.npz \
	    --short-side 64 $(addprefix --weight ,$(SEEN))
	$(MAIN) --config=configs/semantic.py$(SEMANTIC) --workdir=$(SEM)/learned $(SEMANTIC_RUN) \
	    --config.total_steps=$(STEPS)
	$(MAIN) --config=configs/semantic.py$(LAST) --workdir=$(SEM)/colors $(SEMANTIC_RUN) \
	    --config.fork_from=$(SEM)/learned --config.total_steps=$$(($(STEPS) + $(COOLDOWN))) \
	    --config.optimizer.cooldown_steps=$(COOLDOWN)
	$(BIN)/colorjax calibrate $(SEM)/colors --sizes 128,160 --colorfulness 28
	$(foreach photos,$(TEST),$(BIN)/colorjax evaluate semantic=$(SEM)/colors --suite folder \
	    --data $(photos) --output $(SEM)/measured_$(notdir $(photos)) &&) true

# The row of DDColor among published results, docs/evaluate.md, by its authors' protocol:
# `make results-val5k DATA=ILSVRC2012/val INCEPTION=inception_v3_google-1a9a5a14.pth`.
# DATA: ImageNet's 50,000 validation photos; INCEPTION: torchvision's file. It downloads the weights
# (1.1 GB, Apache-2.0). LIMIT=50 tries it on the first photos. After a stop it continues.
VAL5K ?= ddcolor ddcolor-tiny
VAL5K_DIR := $(RESULTS)/val5k
INCEPTION ?=
LIMIT ?=
results-val5k: $(VENV)/.core
	$(if $(INCEPTION),,$(error give DATA=ILSVRC2012/val INCEPTION=inception_v3_google-1a9a5a14.pth))
	$(BIN)/colorjax weights get $(VAL5K)
	$(foreach name,$(VAL5K),test -d $(VAL5K_DIR)/$(name) || \
	    $(BIN)/colorjax weights pull $(name) $(VAL5K_DIR)/$(name) --size 256 || exit 1;)
	$(BIN)/colorjax evaluate $(addprefix $(VAL5K_DIR)/,$(VAL5K)) --suite val5k-ddcolor \
	    --data "$(DATA)" --inception "$(INCEPTION)" --inception-scale ddcolor \
	    $(if $(LIMIT),--limit $(LIMIT)) --output $(VAL5K_DIR)/measured

# docs/tune.md, which took 8,000 of the photos
results-knobs: $(VENV)/.dev
	$(BIN)/colorjax tune --config=configs/plain_cnn.py:size=32 --workdir=$(RESULTS)/six-knobs \
	    --space six-knobs --trials 30 --minutes 1 --photos 3000 --evaluations 6 $(TINY)

results-tinyimagenet: $(VENV)/.core
	$(SWEEP) --config=configs/edge_fusion.py:width=0.25 --workdir=$(RESULTS)/edge_fusion \
	    --name=saturation --vary data.saturation=1.0,1.4,1.6,1.8,2.0 --vary model.edges=canny \
	    --vary seed=0 $(SHORT)
	$(SWEEP) --config=configs/edge_fusion.py:width=0.25 --workdir=$(RESULTS)/edge_fusion \
	    --name=edges --vary data.saturation=1.0,1.8 --vary model.edges=canny,off \
	    --vary seed=0,1 $(SHORT)
	$(SWEEP) --config=configs/iizuka.py:width=0.25 --workdir=$(RESULTS)/iizuka \
	    --vary loss.alpha=0.0033333333,0 --vary seed=0,1 $(SHORT)
	for variant in l2 class full; do \
	    $(MAIN) --config=configs/zhang16.py:width=0.25,variant=$$variant \
	        --workdir=$(RESULTS)/zhang16_$$variant $(SHORT) || exit; done
	$(MAIN) --config=configs/zhang17.py:width=0.25 \
	    --workdir=$(RESULTS)/zhang17 $(SHORT)
	$(MAIN) --config=configs/plain_cnn.py --workdir=$(RESULTS)/plain_cnn \
	    $(TINY) --config.total_steps=2400 --config.optimizer.schedule=cosine \
	    --config.eval_every=600 --config.checkpoint_every=200
	$(MAIN) --config=configs/unet.py:$(U64) --workdir=$(RESULTS)/tinyimagenet/unet \
	    $(TINY) $(RARELY) --config.total_steps=1500
	$(MAIN) --config=configs/cgan.py:$(U64) --workdir=$(RESULTS)/tinyimagenet/cgan \
	    $(TINY) $(RARELY) --config.total_steps=1000
	$(MAIN) --config=configs/nogan.py:$(U64) --workdir=$(RESULTS)/tinyimagenet/nogan \
	    $(TINY) $(RARELY) $(PHASES) --config.total_steps=800 --config.data.validation_fraction=0.05
	$(BIN)/colorjax compare $(addprefix $(RESULTS)/tinyimagenet/,unet cgan nogan) \
	    --data $(DATA)/val --output $(RESULTS)/tinyimagenet/compare --overwrite --seed 1

CIFAR10 := --config.data.path=$(CIFAR)/train --config.data.eval_path=$(CIFAR)/test
HUE := $(CIFAR10) $(RARELY) --config.total_steps=700 --config.data.validation_fraction=0.1 \
    --config.early_stopping.metric=mae_ab --config.evaluation.hue_bins=8 \
    --config.data.eval_limit=2000

# The metrics of the split experiment, on the photos to choose by, are in each validation.json.
results-cifar10: $(VENV)/.core
	$(MAIN) --config=configs/unet.py:$(U32) --workdir=$(RESULTS)/cifar10/unet \
	    $(CIFAR10) $(RARELY) --config.total_steps=3000
	$(MAIN) --config=configs/cgan.py:$(U32) --workdir=$(RESULTS)/cifar10/cgan \
	    $(CIFAR10) $(RARELY) --config.total_steps=1000
	$(MAIN) --config=configs/nogan.py:$(U32) --workdir=$(RESULTS)/cifar10/nogan \
	    $(CIFAR10) $(RARELY) $(PHASES) --config.total_steps=1600
	$(BIN)/colorjax compare $(addprefix $(RESULTS)/cifar10/,unet cgan nogan) \
	    --data $(CIFAR)/test --output $(RESULTS)/cifar10/compare --overwrite --seed 1
	for seed in 0 1 2; do for split in random,0 hue,582; do \
	    $(MAIN) --config=configs/unet.py:$(U32) $(HUE) --config.seed=$$seed \
	        --workdir=$(RESULTS)/splits/$${split%,*}_$$seed --config.data.split_seed=$$((24 + seed)) \
	        --config.data.validation=$${split%,*} --config.data.drop_lowest_hue=$${split#*,} \
	        || exit; done; done

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not page" -q

test-slow: $(VENV)/.dev $(VENV)/.docs
	$(BIN)/python -m pytest -n 2 -m "slow and not faults" -q

# Kills, full disks, flipped bits: prints what became of each run.
test-faults: $(VENV)/.dev
	$(BIN)/python -m pytest -m faults -q -s

# A page for any static web server: ONNX Runtime Web from npm, and the model.
browser: $(VENV)/.core
	$(PIP) --editable .[onnx]
	$(BIN)/python docs/browser/build.py --output build/browser

$(VENV)/.docs: $(VENV)/.core
	$(PIP) --editable .[docs]
	touch $@

# The documentation as a site; any warning is an error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The page of `colorjax serve`, driven in the chromium of the system (apt-get install chromium), and
# that of `make browser`, if it was made.
test-page: $(VENV)/.dev $(VENV)/.docs
	$(BIN)/python -m pytest -m page -q tests/page

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyrefly check

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info
