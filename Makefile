# Every command of the project. Logic is in Python (scripts/, localaws/); a recipe is two lines at most.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.SUFFIXES:

ENV ?=
LOCAL ?=
PYTHON ?= python3
VENV := build/venv
PY := $(VENV)/bin/python
LOCAL_PORT ?= 4566
LOCAL_STATE ?= build/local
LOCAL_NAME ?=
LOCALAWS := $(PY) -m localaws --port $(LOCAL_PORT) --state $(LOCAL_STATE) $(if $(LOCAL_NAME),--name $(LOCAL_NAME))

# LOCAL=1: start the local AWS if it is down, and point the script at it; nothing of the user's own AWS settings gets through.
# What the start says goes to standard error: standard output is the script's, which may be JSON or a page.
ifneq ($(LOCAL),)
AIM = $(LOCALAWS) start >&2 && eval "$$($(LOCALAWS) env)" &&
endif
FLAGS = $(if $(LOCAL),--local) $(if $(YES),--yes) $(if $(VERBOSE),--verbose)

# What plays on the local AWS is told where its repositories, its console and its balancers are.
ENDPOINTS = --addresses http://127.0.0.1:$(LOCAL_PORT)/_localaws/endpoints
PLAY = --local --remote $(LOCAL_STATE)/git --complete-connection "$(LOCALAWS) connect" $(ENDPOINTS)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{count = split($$2, words, " "); line = sprintf("  \033[1m%-14s\033[0m", $$1); at = 16; for (i = 1; i <= count; i++) { \
	  if (at + 1 + length(words[i]) > 80) {line = line sprintf("\n%16s", ""); at = 16} line = line " " words[i]; at += 1 + length(words[i])} print line}' $(MAKEFILE_LIST)

# Both files name all that is wanted, so nothing is looked for beyond them.
$(VENV)/.stamp: requirements.txt requirements-guard.txt
	@$(PYTHON) -m venv $(VENV) && $(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes $(^:%=-r %)
	@touch $@

.PHONY: setup
setup: $(VENV)/.stamp ## Set up this machine: Python packages, Docker engine, base images (asks before it installs; YES=1)
	@$(PY) -m localaws.machine $(if $(YES),--yes)

.PHONY: demo
demo: setup ## Ship a good release, then a bad one, and watch the bad one come back
	@$(LOCALAWS) start && eval "$$($(LOCALAWS) env)" && $(PY) -m scripts.demo $(PLAY)

.PHONY: test
test: setup lint test-unit ## All checks, and one good and three bad releases end to end (needs Docker)
	@$(PY) -m pytest tests/local -m "not every" $(ARGS)

.PHONY: test-unit
test-unit: $(VENV)/.stamp ## Unit and template tests alone: no Docker, no network, a few minutes
	@$(PY) -m pytest tests --ignore tests/local --numprocesses 2 --timeout 120 $(ARGS)

.PHONY: test-all
test-all: setup lint test-unit ## Every end-to-end case; goes on where it stopped (SHARD=1/3)
	@$(PY) -m pytest tests/local --resume $(if $(SHARD),--shard $(SHARD)) $(ARGS)

.PHONY: lint
lint: $(VENV)/.stamp ## Style and types of the Python code
	@$(VENV)/bin/ruff check . && $(VENV)/bin/mypy

.PHONY: bench
bench: $(VENV)/.stamp ## Measure: validate, a deploy with no change, the idle local AWS (after make demo)
	@$(AIM) $(PY) -m scripts.bench $(if $(LOCAL),--local) && $(if $(LOCAL),$(LOCALAWS) usage,true)

.PHONY: bench-blast
bench-blast: setup ## Measure: the same bad release all at once and taken back by hand, and the way it goes here
	@$(LOCALAWS) start && eval "$$($(LOCALAWS) env)" && $(PY) -m scripts.blast $(PLAY) $(ARGS)

.PHONY: validate
validate: $(VENV)/.stamp ## Check templates, parameters, buildspecs, hooks and the rest, before AWS sees them (FORMAT=sarif|junit)
	@$(PY) -m scripts.validate $(if $(FORMAT),--format $(FORMAT))

.PHONY: mutate-iam
mutate-iam: $(VENV)/.stamp ## Take each permission of each role away: a recorded or declared call must miss it, or unused.yaml say why it stays
	@$(PY) -m tests.iam.mutate $(ARGS)

.PHONY: deployer
deployer: $(VENV)/.stamp ## Make the role that deploys in ENV's account, as its administrator, once (TRUST=, TRUST_ACCOUNT=, MFA=true, BOUNDARY=, OWN_BOUNDARY=, THROUGH_CLOUDFORMATION=)
	@$(AIM) $(PY) -m scripts.deployer --env "$(ENV)" $(FLAGS) $(if $(TRUST),--trust "$$TRUST") $(if $(TRUST_ACCOUNT),--trust-account "$$TRUST_ACCOUNT") \
	  $(if $(MFA),--mfa "$$MFA") $(if $(BOUNDARY),--boundary "$$BOUNDARY") $(if $(OWN_BOUNDARY),--own-boundary "$$OWN_BOUNDARY") \
	  $(if $(THROUGH_CLOUDFORMATION),--through-cloudformation "$$THROUGH_CLOUDFORMATION")

.PHONY: package
package: $(VENV)/.stamp ## Upload the templates of ENV, or of all, and print their URLs and console links
	@$(AIM) $(PY) -m scripts.package --env "$(ENV)" $(FLAGS)

.PHONY: deploy
deploy: $(if $(LOCAL),setup,$(VENV)/.stamp) ## Deploy ENV=gamma|prod|pipeline to AWS, or with LOCAL=1 to the local AWS (IGNORE_ALARMS=1, NO_WAIT=1)
	@$(AIM) $(PY) -m scripts.deploy --env "$(ENV)" $(FLAGS) $(if $(IGNORE_ALARMS),--ignore-alarms) $(if $(NO_WAIT),--no-wait)

.PHONY: doctor
doctor: $(VENV)/.stamp ## What would stop a deploy of ENV: account, Regions, quotas, image, names, certificate, connection (JSON=1)
	@$(AIM) $(PY) -m scripts.doctor --env "$(ENV)" $(FLAGS) $(if $(JSON),--json)

.PHONY: plan
plan: $(VENV)/.stamp ## What a deploy of ENV would change, replace, remove; changes nothing (READ_ONLY=1, JSON=1, ARGS=--markdown)
	@$(AIM) $(PY) -m scripts.plan --env "$(ENV)" $(FLAGS) $(if $(READ_ONLY),--read-only) $(if $(JSON),--json) $(ARGS)

.PHONY: destroy
destroy: $(VENV)/.stamp ## Remove the stacks of ENV (or all, or release-store); says what is kept and why
	@$(AIM) $(PY) -m scripts.destroy --env "$(ENV)" $(FLAGS)

# What a person writes goes by the shell's own variables (make exports those of its command line): no quote in it can break out.
.PHONY: rollback
rollback: $(VENV)/.stamp ## Take ENV back everywhere, with a REASON; shows what changes and asks (TO=<commit>, FORCE=1, NO_WAIT=1, YES=1)
	@$(AIM) $(PY) -m scripts.rollback --env "$(ENV)" --reason "$$REASON" --to "$$TO" $(FLAGS) $(if $(LOCAL),$(ENDPOINTS)) $(if $(FORCE),--force) $(if $(NO_WAIT),--no-wait)

.PHONY: block unblock
block: $(VENV)/.stamp ## Let no release into ENV, with a REASON
	@$(AIM) $(PY) -m scripts.block --env "$(ENV)" --reason "$$REASON" $(FLAGS)
unblock: $(VENV)/.stamp ## Open ENV again, with a REASON (FORCE=1)
	@$(AIM) $(PY) -m scripts.unblock --env "$(ENV)" --reason "$$REASON" $(FLAGS) $(if $(FORCE),--force)

.PHONY: override
override: $(VENV)/.stamp ## Let one RELEASE into ENV in spite of alarms and window, with a REASON
	@$(AIM) $(PY) -m scripts.override --env "$(ENV)" --release "$$RELEASE" --reason "$$REASON" $(FLAGS)

.PHONY: status
status: $(VENV)/.stamp ## What runs where and for how long, what should, pipeline, alarms, of ENV or of all (WATCH=1, JSON=1)
	@$(AIM) $(PY) -m scripts.status --env "$(ENV)" $(FLAGS) $(if $(JSON),--json) $(if $(WATCH),--watch)

.PHONY: history
history: $(VENV)/.stamp ## Releases of ENV, what became of each and why, and four key figures (SINCE=30d, LIMIT=50, JSON=1)
	@$(AIM) $(PY) -m scripts.history --env "$(ENV)" $(FLAGS) $(if $(JSON),--json) $(if $(SINCE),--since "$$SINCE") $(if $(LIMIT),--limit "$$LIMIT")

.PHONY: why
why: $(VENV)/.stamp ## Why the latest deployment of ENV fails, and what to do (EXECUTION=, DEPLOYMENT=, STACK=, JSON=1)
	@$(AIM) $(PY) -m scripts.why --env "$(ENV)" --execution "$$EXECUTION" --deployment "$$DEPLOYMENT" --stack "$$STACK" $(FLAGS) $(if $(JSON),--json)

.PHONY: report
report: $(VENV)/.stamp ## Write build/report.html: releases, alarms, traffic and hosts over time, of ENV or of all (SINCE=2h, OUT=)
	@$(AIM) $(PY) -m scripts.report $(if $(ENV),--env "$(ENV)") $(FLAGS) $(if $(SINCE),--since "$(SINCE)") $(if $(OUT),--out "$(OUT)")

.PHONY: taskcat taskcat-lint
TASKCAT := build/taskcat/venv
taskcat: $(if $(LOCAL),setup,$(VENV)/.stamp) $(TASKCAT)/.stamp ## Let taskcat create every root in two Regions and delete it: AWS, for money, or LOCAL=1 (TESTS=a,b, SWEEP=1)
	@$(AIM) $(PY) -m scripts.taskcat $(FLAGS) $(if $(TESTS),--tests "$(TESTS)") $(if $(SWEEP),--sweep)
taskcat-lint: $(VENV)/.stamp $(TASKCAT)/.stamp ## taskcat's own lint of .taskcat.yml and its templates: no AWS
	@$(PY) -m scripts.taskcat --lint

$(TASKCAT)/.stamp: requirements-taskcat.txt
	@$(PYTHON) -m venv $(TASKCAT) && $(TASKCAT)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

.PHONY: local-up local-down local-env local-status local-reset
local-up: setup ## Start the local AWS
	@$(LOCALAWS) start
local-down: $(VENV)/.stamp ## Stop the local AWS; its state is kept
	@$(LOCALAWS) stop
local-env: $(VENV)/.stamp ## Print the export lines that point any AWS client at the local AWS
	@$(LOCALAWS) env
local-status: $(VENV)/.stamp ## Say whether the local AWS is up
	@$(LOCALAWS) status
local-reset: $(VENV)/.stamp ## Stop the local AWS and remove everything of it
	@$(LOCALAWS) reset

LOCK = build/lock/bin/uv pip compile -q --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --python-version 3.11

.PHONY: lock
lock: ## Write requirements*.txt (hashes, no hosts) from requirements*.in
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv==0.13.9
	@for name in requirements requirements-guard requirements-taskcat; do $(LOCK) $$name.in -o $$name.txt $$([ $$name = requirements-guard ] && echo --no-deps) || exit; done
