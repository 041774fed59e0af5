# Each target sets up what it needs in .venv; nothing else has to be installed but Python 3.11 (PYTHON=… names another).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
, := ,
# Their scripts import their siblings, and fixtures/models those of fixtures/world, by plain name: a call of mypy for each.
SCRIPT_FOLDERS := $(sort $(dir $(wildcard benchmarks/*/*.py examples/evaluate-module/*/*.py fixtures/*/*.py)))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo dev docs screenshots test test-all test-lowest audit faults check types world base base-seq2seq rates seeds sweep-ranks sweep atlas-world base-sizes sizes atlas soak bench bench-scale bench-compare bench-report bench-memory bench-driver bench-cost calibrate clean

demo: $(VENV)/.ready            ## train five candidates on the embedded world, repair two, compare all, end with the path of the report
	$(BIN)/evalharness demo --out runs/demo

dev: $(VENV)/.ready-dev         ## set up all that a contributor needs: every extra but vllm, and git's hooks (.pre-commit-config.yaml)

docs: $(VENV)/.ready-docs       ## build the pages as a site, in site/index.html; a dead link or anchor is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

screenshots: $(VENV)/.ready-test ## photograph the report of RUN=runs/demo for the docs (needs Chromium)
	$(BIN)/python docs/screenshots.py $(or $(RUN),runs/demo)

test: $(VENV)/.ready-test check ## every test but the slow ones (under 10 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: $(VENV)/.ready-test check test-lowest  ## every test, and those that are not slow with the lowest versions
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-lowest:                    ## the tests that are not slow with the lowest versions that pyproject.toml allows, in .venv-lowest
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-lowest.txt --editable ".[test]"
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n 2 --dist worksteal -m "not slow"

audit: $(VENV)/.ready-test      ## look the pinned versions up in pip-audit's advisory database (needs the network)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

faults: $(VENV)/.ready-test     ## inject every fault of tests/faults/fault_matrix.py, and print which were survived
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -m "fault and not slow"

check: $(VENV)/.ready-test      ## ruff, the layers (import-linter), types (mypy, by `make types`)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory types

types:                          ## mypy --strict on all Python but the tests
	$(BIN)/mypy
	set -e; for folder in $(SCRIPT_FOLDERS); do MYPYPATH=$$folder:fixtures/world $(BIN)/mypy $$folder; done

world: $(VENV)/.ready           ## write the rows of the embedded world again (byte-identical)
	$(BIN)/python fixtures/world/generate.py

base: $(VENV)/.ready            ## train the tiny base again
	PYTHONPATH=fixtures/world $(BIN)/python fixtures/models/train_tiny_base.py

base-seq2seq: $(VENV)/.ready    ## train the tiny encoder-decoder again
	OMP_NUM_THREADS=1 PYTHONPATH=fixtures/world $(BIN)/python fixtures/models/train_tiny_base_seq2seq.py

rates: $(VENV)/.ready           ## choose the demo's learning rates on validation rows: a sweep of equal size per method
	$(BIN)/python fixtures/demo/choose_rates.py

seeds: $(VENV)/.ready           ## the demo over three training seeds; and repairs; writes the tables in docs/demo.md
	$(BIN)/python fixtures/demo/three_seeds.py
	$(BIN)/python fixtures/demo/repairs.py

sweep-ranks: $(VENV)/.ready-test ## LoRA's ranks on the embedded world (minutes); writes the table in docs/sweep_world.md
	OMP_NUM_THREADS=1 $(BIN)/python fixtures/demo/sweeps.py ranks

sweep: $(VENV)/.ready           ## every method over learning rates and seeds (about half an hour of one core); writes the tables in docs/sweep_world.md
	OMP_NUM_THREADS=1 $(BIN)/python fixtures/demo/sweeps.py methods

atlas-world: $(VENV)/.ready     ## drift and loss of 48 candidates of the embedded world (half an hour of one core); writes fixtures/atlas/drift-world.csv
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/atlas/world.py

base-sizes: $(VENV)/.ready      ## train the tiny base in two larger sizes, in runs/base-sizes (hours of one core; STEPS=…: fewer than 1500 steps)
	set -e; for size in 3M 5M; do OMP_NUM_THREADS=1 PYTHONPATH=fixtures/world $(BIN)/python fixtures/models/train_tiny_base.py \
		--size $$size --steps $(or $(STEPS),1500) --score-every 0 --out runs/base-sizes/$$size; done

sizes: $(VENV)/.ready           ## full, LoRA and prompt tuning on the tiny base in three sizes (after base-sizes; minutes); writes the table in docs/sizes.md
	OMP_NUM_THREADS=1 $(BIN)/python fixtures/demo/sizes.py

atlas: $(VENV)/.ready-test      ## what fine-tuning recipes forget on a real model (two hours of 2 cores; MODEL=DIR, DATA=DIR: MMLU's rows); writes docs/atlas.md
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/atlas $(if $(MODEL),--model $(MODEL)) $(if $(DATA),--data $(DATA))

soak: $(VENV)/.ready-test       ## kill a run 50 times at random moments, and inject every fault at full length
	PYTHONPATH=tests $(BIN)/python -m soak.kill_and_resume
	PYTHONPATH=tests $(BIN)/python -m soak.kill_training
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -m fault

bench: $(VENV)/.ready-test      ## this engine against lm-eval on the same work (an hour of 2 cores; DATA=DIR: MMLU's rows); writes docs/speed.md
	$(BIN)/python benchmarks/speed $(if $(DATA),--data $(DATA))

bench-scale: $(VENV)/.ready     ## what answers cost over examples, choices, shots, candidates, length; writes docs/speed.md
	OMP_WAIT_POLICY=PASSIVE PYTHONPATH=. $(BIN)/python benchmarks/speed/scale.py

bench-compare: $(VENV)/.ready   ## what comparing 100,000 paired examples costs: seconds and memory, for runs, lm-eval's logs and tables
	$(BIN)/python benchmarks/compare_size.py

bench-report: $(VENV)/.ready-test ## what the report of 10,000 examples × 4 candidates takes: seconds to write and to open, bytes (needs Chromium)
	$(BIN)/python benchmarks/report_size.py

bench-memory: $(VENV)/.ready    ## forecasts of a training's memory against trainings (MODEL=DIR: one more model; half an hour); writes docs/memory.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/training_memory.py $(MODEL) --write

bench-driver: $(VENV)/.ready    ## responses a second of a run beside its model, each part alone, and the complete suites on many GPUs (AGAINST=CHECKOUT: beside another version)
	$(BIN)/python benchmarks/driver.py $(if $(AGAINST),--against $(AGAINST))
	$(BIN)/python benchmarks/at_scale.py

bench-cost: $(VENV)/.ready      ## seconds and memory predicted from tokens, against runs (minutes; MODEL=DIR SCALE=0.25: another model on four tasks, fewer rows; WORKERS=2)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/cost_model.py $(if $(MODEL),--model $(MODEL) --tasks rte$(,)boolq$(,)copa$(,)dialogsum) $(if $(SCALE),--scale $(SCALE)) $(if $(WORKERS),--workers $(WORKERS))

calibrate: $(VENV)/.ready       ## (SCALE=1: twice the draws) how often verdicts err, drawn and put through the tests; writes the tables in docs/statistics.md and docs/calibration.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/calibrate --scale $(or $(SCALE),0.5)

clean:
	rm -rf $(VENV) runs site

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("evalharness needs Python 3.11 or newer; run: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[hf]"
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	$(PIP) --editable ".[test]"
	touch $@

$(VENV)/.ready-docs: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[docs]"
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready-test
	$(PIP) --editable ".[dev]"
	$(BIN)/pre-commit install
	touch $@
