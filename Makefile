# make table1: set up and build the main table's first rows at miniature scale. make test: set up and pass the tests.
# make test-all: the long tests, which `make test` leaves out.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3.11)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOWNLOAD := .venv-download
DOCS := .venv-docs
TARGETS ?=
WARM := $(BIN)/python -m helip.warm  # torch is imported once for all jobs of a graph
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: setup table1 miniature table11 second-world flickr8k questions test test-all lint lock bench ui screenshots doctor clean

setup: $(READY)

# Made again only when the lock or the packaging changes. Everything is pinned and hashed; nothing is compiled.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) not found: install Python 3.11 or 3.12, or name one: make setup PYTHON=/path/to/python3.12"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo "$(VENV): set up; source $(BIN)/activate makes helip and snakemake commands. next: helip demo, or make table1"
	@touch $@

# Table 1 of what the study names first: CLIP on the smallest corpus, in all its arms. Until the whole of results/miniature/table1.csv is
# made it has these rows, with a date before everything: snakemake makes it when it is asked for.
table1: $(READY)
	$(WARM) $(BIN)/snakemake --quiet rules -- results/miniature/first/table1.csv results/miniature/tracking/first/table1.json
	@cd results/miniature && if [ $$(stat -c %Y table1.csv 2> /dev/null || echo 0) = 0 ]; then cp first/table1.* . && touch -d @0 table1.*; fi
	@cat results/miniature/first/table1.md
	@echo "results/miniature/table1.csv has these rows; next: make ui for the runs behind them, make miniature for every table"

# Every table, figure and verdict that the miniature study binds, on one page: results/miniature/report.html.
miniature: $(READY)
	$(WARM) $(BIN)/snakemake --quiet rules -- results/miniature/report.html
	@echo "results/miniature/report.html: every table, figure and verdict; next: open it in a browser, and make ui for the runs"

# The paper's open question, on the same corpus, with more arms and seeds than its own tables; a report made afterwards shows it too.
table11: $(READY)
	$(WARM) $(BIN)/snakemake --quiet rules -- results/miniature/first/table11.csv
	@cat results/miniature/first/table11.md
	@echo "results/miniature/first/table11.csv has these rows; next: make miniature, whose report then shows them too"

# A second generated world, on which helip_plus is asked once.
second-world: $(READY)
	$(WARM) $(BIN)/snakemake --quiet rules -- results/miniature2/contrasts.csv
	@cat results/miniature2/contrasts.md

# Photographs with real frozen towers: HELIP_DATA names the folder (docs/howto/your_data.md).
flickr8k: $(READY)
	$(WARM) $(BIN)/snakemake --quiet rules -- results/flickr8k/report.html results/flickr8k/tracking/table12.json
	@cat results/flickr8k/table12.md results/flickr8k/contrasts.md
	@echo "results/flickr8k/report.html has all of it; next: open it in a browser, and make ui for the runs"

# Seven questions on the same photographs: encoders, pools, curation, scale, few weights, wording, masks.
questions: $(READY)
	$(WARM) $(BIN)/snakemake --quiet rules -- results/questions/contrasts.csv $(patsubst %,results/questions/table%.csv,18 19 20 21 22 23 24)
	@cat results/questions/contrasts.md

test: $(READY)
	$(PYTEST) -m "not long" $(TARGETS)

# The tests that `make test` leaves out: whole graphs, many Slurm jobs.
test-all: $(READY)
	$(PYTEST) -m long $(TARGETS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/lint-imports
	$(BIN)/mypy

# What crawls corpora, in an environment of its own: it wants older packages than ours.
.PHONY: download-tools
download-tools: $(DOWNLOAD)/.ready

$(DOWNLOAD)/.ready: requirements-download.lock
	test -x $(DOWNLOAD)/bin/python || $(PYTHON) -m venv $(DOWNLOAD)
	$(DOWNLOAD)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements-download.lock
	@touch $@

# The documentation site, build/site: every link, reference and notebook is checked. Its tools have an environment of their own, which also
# sees our packages, so that pages come from the code and the notebook runs.
.PHONY: docs docs-tools readme container
docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=.:slurm $(DOCS)/bin/mkdocs build --quiet
	@echo "build/site/index.html: the whole site, every link checked; next: open it in a browser"

docs-tools: $(DOCS)/.ready

$(DOCS)/.ready: requirements-docs.lock $(READY)
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements-docs.lock
	$(BIN)/python -c 'import sysconfig as s; print("import site; site.addsitedir(" + repr(s.get_path("purelib")) + ")")' \
		> $$($(DOCS)/bin/python -c 'import sysconfig as s; print(s.get_path("purelib"))')/helip.pth
	@touch $@

# The parts of the README that come from the code and from results files: the picture of the pipeline and the table of what was found.
readme: $(READY)
	$(BIN)/python -m tools.pipeline
	$(BIN)/python -m tools.results_tables

# An image that holds the project, set up: make container, or make container DEVICE=cuda.
DEVICE ?= cpu
container:
	docker build --build-arg DEVICE=$(DEVICE) --tag helip:$(DEVICE) .

# The requirements of pyproject.toml, pinned and hashed, without naming a registry.
lock:
	uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml --extra lab --extra test --extra build -o requirements.lock
	uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11 requirements-download.in -o requirements-download.lock
	uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11 requirements-docs.in -o requirements-docs.lock

# Those that need neither data nor options; the head of each file of benchmarks/ says how it is run.
BENCHES ?= agreement bootstrap costs data encode frozen index mining selection tracking train
bench: $(READY)
	for name in $(BENCHES); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

# What has been imported, in MLflow: make ui HOST=0.0.0.0 PORT=5001 ALLOWED_HOSTS=login1.example.org
HOST ?= 127.0.0.1
PORT ?= 5000
ALLOWED_HOSTS ?=
ui: $(READY)
	@$(BIN)/helip ui --host "$(HOST)" --port "$(PORT)" --allowed-hosts "$(ALLOWED_HOSTS)"

# The pictures in docs/images, by chromium, at the width of a desktop and of a phone: the report of a finished study, and its runs in MLflow.
# Of another study, to look at: make screenshots STUDY=smoke OUT=/tmp/pictures
STUDY ?= miniature
OUT ?= docs/images
screenshots: $(READY)
	$(BIN)/python -m tools.screenshots $(STUDY) --out $(OUT)

doctor: $(READY)
	$(BIN)/helip doctor

# Everything made but what was fetched, which may take days and come back in another order.
clean:
	find results/ -mindepth 2 -maxdepth 2 ! -name downloads ! -name checkpoints -exec rm -rf {} +
	rm -rf results/*.csv results/mlflow.* results/mlflow-artifacts .snakemake
