# Every target does its own set-up: an environment in .venv, from hash-pinned requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export UPLIFT_HOME ?= $(CURDIR)/.uplift
export STREAMLIT_BROWSER_GATHER_USAGE_STATS := false
unexport PYTHONPATH
# Compiling all libraries anew in every process takes three times as long as loading them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

EXPERIMENTS ?= simulated hillstrom
run: $(READY) ## the main job: simulated, then Hillstrom, from the file to the published treat list (EXPERIMENTS="...")
	$(BIN)/uplift run $(EXPERIMENTS)

list: $(READY) ## one night's list from the current scores: decide, export, publish (NAME=hillstrom, OPTIONS="--budget 0.2")
	$(BIN)/uplift list "$(NAME)" $(OPTIONS)

measure: $(READY) ## what the lists of a date did (NAME=hillstrom FILE=outcomes.csv DATE=2026-11-01, OPTIONS=...)
	$(BIN)/uplift measure "$(NAME)" "$(FILE)" --date "$(DATE)" $(OPTIONS)

new-experiment: $(READY) ## declare an experiment of your own (FILE=campaign.csv NAME=spring_mail, OPTIONS="--help")
	$(BIN)/uplift new "$(FILE)" "$(NAME)" $(OPTIONS)

check-experiment: $(READY) ## all problems of an experiment at once, without a run (NAME=spring_mail)
	$(BIN)/uplift check "$(NAME)"

notify: $(READY) ## send a message to the receivers of UPLIFT_NOTIFY, to see that it arrives
	@$(BIN)/uplift notify

doctor: $(READY) ## is all well: versions, experiments, home, disk, what is published; and what to do
	$(BIN)/uplift doctor $(OPTIONS)

dictionary: $(READY) ## write docs/tables.md from what is published (after make run)
	$(BIN)/python -m dagster_project.commands.dictionary

schema: $(READY) ## write docs/experiment.schema.json
	$(BIN)/python -m dagster_project.commands.schema

licences: $(READY) ## write docs/licences.md (after make lock)
	$(BIN)/python -m dagster_project.commands.licences

# Files of one commit have one date, so that two builds of it are equal to the byte.
wheel: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
wheel: $(READY) ## build the wheel in dist
	$(BIN)/python -m hatchling build -t wheel -d dist

SBOM ?= dist/uplift-engine.cdx.json
IMAGE_VENV := .venv-image
sbom: $(READY) ## the bill of materials of the image's packages, with licences (CycloneDX; SBOM=file)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(IMAGE_VENV)
	$(BIN)/uv pip install --quiet --python $(IMAGE_VENV)/bin/python --no-deps --require-hashes -r requirements/image.txt
	mkdir -p $(dir $(SBOM))
	$(BIN)/python -W ignore -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible --of JSON -o $(SBOM) $(IMAGE_VENV)/bin/python

TESTERS ?= 3
test: $(READY) ## all tests (TESTERS=3 processes)
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder

lint: lint-style lint-types lint-sql ## style, types, SQL, layers
lint-style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
lint-types: $(READY)
	$(BIN)/mypy
lint-sql: $(READY)
	$(BIN)/sqlfluff lint --disable-progress-bar --templater placeholder sql/experiments
	$(BIN)/sqlfluff lint --disable-progress-bar $(filter-out sql/experiments,$(wildcard sql/*))

format: $(READY) ## rewrite code in the project's format
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

dev: $(READY) ## the Dagster UI on port 3000
	$(BIN)/uplift dev

WORKERS ?= 1
serve: $(READY) ## the API on port 8000 (WORKERS=1)
	$(BIN)/uplift serve --workers $(WORKERS)

ui: $(READY) ## the Streamlit app on port 8501, and the API if none answers
	$(BIN)/uplift ui

SITE ?= dist/docs
docs: $(READY) ## the documentation site in dist/docs (SITE=folder); a broken link or any other warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs $(SITE)

# Debian's python3 comes without ensurepip, so pip is called from outside the environment.
$(READY): requirements/all.txt requirements/bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv --without-pip --clear $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/all.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline --editable .
	@touch $(READY)

LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --override requirements/overrides.txt
IMAGE_EXTRAS := batch cluster crosscheck databases library lineage s3 serve ui
lock: $(READY) ## pin all dependencies anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate requirements/bootstrap.in -o requirements/bootstrap.txt
	$(LOCK) --all-extras pyproject.toml -o requirements/all.txt
	$(LOCK) --extra serve -c requirements/all.txt pyproject.toml -o requirements/serve.txt
	$(LOCK) $(addprefix --extra ,$(IMAGE_EXTRAS)) -c requirements/all.txt pyproject.toml -o requirements/image.txt

# By the environment: make would break a query of several lines, and take a $ in it for a variable.
sql: export UPLIFT_SQL = $(value Q)
sql: $(READY) ## DuckDB's shell on the published snapshot (Q="select ...", OF=warehouse: on the batch's file)
	@$(BIN)/uplift sql --of $(or $(OF),snapshot) -- $${UPLIFT_SQL:+"$$UPLIFT_SQL"}

rollback: export UPLIFT_WHY = $(value REASON)
rollback: $(READY) ## make the snapshot before the current one current until LIFT=1 (TO=<snapshot id> REASON="..."; LIFT=1)
	@$(BIN)/uplift rollback $(if $(TO),--to $(TO)) --reason "$$UPLIFT_WHY" $(if $(LIFT),--lift) $(OPTIONS)

backup: $(READY) ## back the home up to a new folder or fsspec URL (TO=s3://bucket/2026-05-01)
	$(BIN)/uplift backup --to "$(TO)" $(OPTIONS)

restore: $(READY) ## restore a backup into an empty home, checked (FROM=s3://bucket/2026-05-01)
	$(BIN)/uplift backup --from "$(FROM)"

# USER is a variable of every shell: only make's own command line names whom to erase.
erase: export UPLIFT_ERASED = $(if $(filter command,$(origin USER)),$(value USER))
erase: $(READY) ## erase a user of an experiment: their id in the file, or user_id (EXPERIMENT=spring_mail USER=K-17)
	@test -n "$$UPLIFT_ERASED" || { echo "name the user: make erase EXPERIMENT=... USER=..." >&2; exit 2; }
	@$(BIN)/uplift erase $(OPTIONS) "$(EXPERIMENT)" "$$UPLIFT_ERASED"

# By the environment, since a reason may hold any character; make's own command line alone names the user.
suppress: export UPLIFT_WHO = $(if $(filter command,$(origin USER)),$(value USER))
suppress: export UPLIFT_WHY = $(value REASON)
suppress: export UPLIFT_SAYS = $(value BY)
suppress: $(READY) ## keep a user out of lists and /score (USER=K-17 REASON=unsubscribed EXPERIMENT= UNTIL= BY=, or FILE=ids.csv; LIFT=1)
	@$(BIN)/uplift suppress --experiment "$(EXPERIMENT)" --reason "$$UPLIFT_WHY" --until "$(UNTIL)" \
	    --by "$$UPLIFT_SAYS" $(if $(FILE),--file "$(FILE)") $(if $(LIFT),--lift) $(OPTIONS) -- $${UPLIFT_WHO:+"$$UPLIFT_WHO"}

suppressions: export UPLIFT_WHO = $(if $(filter command,$(origin USER)),$(value USER))
suppressions: $(READY) ## who is kept out, or all that was entered about a user (EXPERIMENT= USER=)
	@$(BIN)/uplift suppress --list --experiment "$(EXPERIMENT)" -- $${UPLIFT_WHO:+"$$UPLIFT_WHO"}

carry-ledger: $(READY) ## lists, nights, suppressions, measurements and models of an earlier warehouse (FROM=old.duckdb)
	$(BIN)/uplift carry-ledger "$(FROM)" $(OPTIONS)

criteo-like: $(READY) ## a public look-alike of Criteo's file (ROWS=1000000)
	$(BIN)/python -m dagster_project.inputs.sources.lookalike --rows $(firstword $(ROWS)) --file $(UPLIFT_HOME)/sources/criteo-like-$(firstword $(ROWS)).csv.gz

clean: ## remove the environment and all that runs made
	rm -rf $(VENV) $(BENCH_VENV) $(IMAGE_VENV) $(UPLIFT_HOME)

# The peers have an environment of their own: the product does not depend on them.
BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready
BENCH := PYTHONWARNINGS=ignore $(BENCH_VENV)/bin/python -m bench
BENCH_RESULTS := $(UPLIFT_HOME)/bench
ROWS ?= 1000000 5000000
REPEATS ?= 1
SEEDS ?= 20

bench: bench-learners bench-hillstrom bench-evaluation ## all benchmarks against the peers

bench-evaluation: $(BENCH_READY) ## all figures of 14M scored users against one GROUP BY and the peers' Qini
	$(BENCH).evaluation --folder $(BENCH_RESULTS)

bench-coverage: $(READY) ## how often the evaluator's intervals hold a known truth
	$(BIN)/python -m bench.coverage

bench-hard: $(READY) ## intervals and tests where outcomes are hard: heavy tails, few events, large effects
	$(BIN)/python -m bench.hard_outcomes $(OPTIONS)

RUNS ?= 100
USERS ?= 3000
bench-gate: $(READY) ## how often the gate opens, in six designs without anything to choose and in four with (RUNS=100 USERS=3000)
	$(BIN)/python -m bench.gate --runs $(RUNS) --users $(USERS) $(OPTIONS)

bench-clusters: $(READY) ## how often intervals hold the truth, and the gate opens, where clusters are treated together
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.clusters $(OPTIONS)

bench-strata: $(READY) ## how often intervals hold the truth where chances of the treatment differ between users
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.strata $(OPTIONS)

bench-weights: $(READY) ## how often intervals hold the truth of a population of which users were sampled unequally
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.weights $(OPTIONS)

bench-complier: $(READY) ## how often intervals of the complier average effect hold the truth
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.complier $(OPTIONS)

bench-cluster-cost: $(READY) ## the evaluation of 5M look-alike users in clusters of about 2 beside independent ones
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.cluster_cost --folder $(BENCH_RESULTS) $(OPTIONS)

bench-rules: $(READY) ## simulated experiments: intervals of rules and leaves, the known tree, false segments (OPTIONS="--runs 500")
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.rules $(OPTIONS)

bench-carried-rules: $(READY) ## exported rules in DuckDB, PostgreSQL, JSON and Python for 1M users, beside the engine (needs make run)
	$(BIN)/python -m bench.carried_rules --home $(UPLIFT_HOME) $(OPTIONS)

bench-bands: $(READY) ## how often a band holds the whole true curve (RUNS=500)
	$(BIN)/python -m bench.bands --runs $(RUNS) $(OPTIONS)

bench-placebo: $(READY) ## p values of permuted arms: uniform where nothing has an effect? and on Hillstrom (needs make run)
	$(BIN)/python -m bench.placebo null
	$(BIN)/python -m bench.placebo home hillstrom

bench-criteo: $(READY) ## csv.gz of Criteo's shape to treat list, by step (ROWS="1000000 4000000 14000000 25309483")
	$(BIN)/python -m bench.criteo --rows $(ROWS) --folder $(BENCH_RESULTS) --json $(BENCH_RESULTS)/criteo.json

USERS_OWN ?= 344000
bench-own: $(READY) ## a generated experiment of one's own with five arms, from csv to list, by step (USERS_OWN=344000)
	$(BIN)/python -m bench.own --users $(USERS_OWN) --folder $(BENCH_RESULTS)

bench-cluster: $(READY) ## the same run here and on Dask's workers: equality, time by step, kills; cells against rows
	$(BIN)/python -m bench.cluster --rows 4000000 --folder $(BENCH_RESULTS) --json $(BENCH_RESULTS)/cluster.json
	$(BIN)/python -m bench.cluster --rows 4000000 --kill --folder $(BENCH_RESULTS) --json $(BENCH_RESULTS)/cluster-kill.json
	$(BIN)/python -m bench.cluster --growth 1000000 4000000 14000000 25309483 --folder $(BENCH_RESULTS) --json $(BENCH_RESULTS)/growth.json

bench-lists: $(READY) ## a list and its export for 25.3M users against DuckDB's bare sorted copy
	$(BIN)/python -m bench.lists --folder $(BENCH_RESULTS)

NIGHTS ?= 1000
bench-nights: $(READY) ## a thousand nights: seconds of night 1,000 over night 10, sizes, start of the API (NIGHTS=1000)
	$(BIN)/python -m bench.nights --nights $(NIGHTS) --folder $(BENCH_RESULTS) $(OPTIONS)

bench-crash: $(READY) ## nights that are killed, run out of disk, find damaged files; kills of retention, rollback, backup ...
	$(BIN)/python -m bench.crash --folder $(BENCH_RESULTS)
	$(BIN)/python -m bench.crash_steps --folder $(BENCH_RESULTS)

bench-killed: $(READY) ## runs killed by make run and in the UI, in five steps; what the next run makes of it
	$(BIN)/python -m bench.killed_runs --folder $(BENCH_RESULTS)

bench-alarms: $(READY) ## twenty fair experiments through all checks: how many alarms
	$(BIN)/python -m bench.false_alarms --folder $(BENCH_RESULTS)

bench-campaign: $(READY) ## thirty simulated nights: promise, measurement and known truth
	$(BIN)/python -m bench.campaign --folder $(BENCH_RESULTS) $(OPTIONS)

bench-realised: $(READY) ## how often intervals and confidence sequences over nights hold a known truth
	$(BIN)/python -m bench.realised $(OPTIONS)

bench-loop: $(READY) ## ninety nights of drifting effects: a frozen model, learning from lists, a new experiment
	$(BIN)/python -m bench.loop $(OPTIONS)

bench-adjustment: $(READY) ## how much narrower models make intervals of realised effects, on Hillstrom
	$(BIN)/python -m bench.adjustment $(OPTIONS)

bench-serve: $(READY) ## the API under load against an empty endpoint (needs wrk, and make run)
	$(BIN)/python -m bench.serve --folder $(UPLIFT_HOME)

bench-start: $(READY) ## seconds from the start of the API to its first answer (needs make run)
	$(BIN)/python -m bench.start --home $(UPLIFT_HOME) $(OPTIONS)

bench-library: $(READY) ## the wheel in an empty environment: three lines on Hillstrom, seconds; equal to what is published (needs make run)
	$(BIN)/python -m bench.library --data "$(UPLIFT_DATA_DIR)" --home $(UPLIFT_HOME) $(OPTIONS)

bench-containers: $(READY) ## compose.yaml started for real: health, a run, the API, the app (needs podman and podman-compose)
	$(BIN)/python -m bench.containers $(OPTIONS)

bench-fuzz: $(READY) ## 20,000 damaged Arrow streams against the API: no crash, no 5xx (needs make run)
	$(BIN)/python -m bench.fuzz_arrow --home $(UPLIFT_HOME) --keep $(BENCH_RESULTS)/fuzz

bench-hostile: $(READY) ## requests that ask for too much: who else is answered meanwhile, memory (needs make run)
	$(BIN)/python -m bench.hostile --home $(UPLIFT_HOME)

bench-mixed: $(READY) ## five minutes of good and hostile requests at 32 connections: no 5xx, memory (needs make run)
	$(BIN)/python -m bench.mixed --home $(UPLIFT_HOME) $(OPTIONS)

bench-endurance: $(READY) ## the API while snapshots change, and its memory over 200,000 requests
	$(BIN)/python -m bench.endurance --folder $(BENCH_RESULTS)

tour: $(READY) ## the app in headless Chromium, checked, timed, pictured (needs chromium, and make run)
	$(BIN)/python -m bench.tour --folder $(UPLIFT_HOME) --pictures $(BENCH_RESULTS)/tour

pictures: $(READY) ## take the README's pictures (needs chromium, and make run)
	$(BIN)/python -m bench.tour --folder $(UPLIFT_HOME) --readme docs/pictures

bench-axe: $(READY) ## axe-core on every page of the app in Chromium (AXE=axe.min.js, of the npm package axe-core; needs make run)
	$(BIN)/python -m bench.axe --folder $(UPLIFT_HOME) --script "$(AXE)"

bench-scores: $(BENCH_READY) ## causalml's and econml's scores of Hillstrom judged by uplift.evaluate, beside scikit-uplift's figures
	$(BENCH).scores --data "$(UPLIFT_DATA_DIR)" $(OPTIONS)

bench-learners: $(BENCH_READY) ## time and memory of five learners against the peers' (ROWS="1000000 5000000")
	$(BENCH).learners --rows $(ROWS) --repeats $(REPEATS) --folder $(BENCH_RESULTS) --json $(BENCH_RESULTS)/learners.json

bench-stack: $(BENCH_READY) ## how well the stack ranks users in ten simulated designs, beside each learner and the peers (SEEDS=20)
	$(BENCH).stack --peers --seeds $(SEEDS) $(OPTIONS)

bench-bags: $(READY) ## how often standard errors from bags hold the smoothed effect, and the true one, in simulated experiments
	$(BIN)/python -m bench.bags $(OPTIONS)

bench-arms: $(BENCH_READY) ## the policy over several arms that decides, beside the best arm alone and the oracle, in simulated designs (SEEDS=20)
	$(BENCH).arms --seeds $(SEEDS) $(OPTIONS)

bench-hillstrom: $(BENCH_READY) ## policy value on Hillstrom's e-mail against the peers', 50 splits
	$(BENCH).hillstrom_splits --json $(BENCH_RESULTS)/hillstrom.jsonl

$(BENCH_READY): requirements/bench.txt pyproject.toml $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BENCH_VENV)
	$(BIN)/uv pip install --quiet --python $(BENCH_VENV)/bin/python --no-deps --require-hashes -r requirements/bench.txt
	$(BIN)/uv pip install --quiet --python $(BENCH_VENV)/bin/python --no-deps --no-build-isolation --offline --editable .
	@touch $(BENCH_READY)
