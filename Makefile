# `make help` lists what there is to make.

PYTHON ?= python3
PORT ?= 8000
PATIENTS ?= 50
WORKERS ?= 2
VENV := .venv
RUN := $(VENV)/bin
APPS := clinical_records accounts audit fhir

ifneq ($(strip $(DATABASE_URL)),)
export DATABASE_URL
endif

.DEFAULT_GOAL := help
.PHONY: help demo test cluster cluster-stop test-cluster check bench fmt messages clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22
	@echo '  Variables of demo: PORT=$(PORT) PATIENTS=$(PATIENTS) DATABASE_URL=postgres://… (else a PostgreSQL of its own)'

$(VENV)/installed: requirements.txt scripts/make_venv.py
	@$(PYTHON) scripts/make_venv.py $(VENV) requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements.txt requirements-dev.txt scripts/make_venv.py
	@$(PYTHON) scripts/make_venv.py $(VENV) requirements-dev.txt
	@touch $(VENV)/installed $@

demo: $(VENV)/installed  ## a server with demo charts and users on http://localhost:PORT; Ctrl-C stops all of it
	@exec env DEMO_MODE=1 $(RUN)/python manage.py demo --port $(PORT) --patients $(PATIENTS) --stop-with-parent

test: $(VENV)/installed-dev  ## all tests
	@exec $(RUN)/python -m pytest -n $(WORKERS)

cluster: $(VENV)/installed  ## a Citus cluster of local processes in the background: a coordinator, two workers
	@env DEMO_MODE=1 $(RUN)/python manage.py cluster start
	@echo 'Serve from it: make demo DATABASE_URL=…   Stop it: make cluster-stop'

cluster-stop: $(VENV)/installed  ## stop that cluster; its data stay
	@exec env DEMO_MODE=1 $(RUN)/python manage.py cluster stop

test-cluster: $(VENV)/installed-dev  ## all tests on a throw-away Citus cluster, or on that of DATABASE_URL
	@exec $(RUN)/python scripts/cluster_tests.py -n $(WORKERS)

check: $(VENV)/installed-dev  ## format, lint, types, layers, migrations, translations
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy $(APPS)
	$(RUN)/lint-imports
	$(RUN)/python scripts/messages.py --check
	DJANGO_SETTINGS_MODULE=clinical_records.test_settings $(RUN)/python manage.py check --fail-level WARNING
	DJANGO_SETTINGS_MODULE=clinical_records.test_settings $(RUN)/python scripts/check_migrations.py

bench: $(VENV)/installed-dev  ## speed, as ratios to bare PostgreSQL; writes bench/RESULTS.md
	@exec env DEMO_MODE=1 $(RUN)/python -m bench $(BENCH)

fmt: $(VENV)/installed-dev  ## format the code
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

messages: $(VENV)/installed-dev  ## collect and compile the translations
	$(RUN)/python scripts/messages.py

clean:  ## forget the virtual environment, the demo's data and all caches
	@if [ -x $(RUN)/python ] && [ -d var ]; then for kind in settings test_settings; do \
		DEMO_MODE=1 DJANGO_SETTINGS_MODULE=clinical_records.$$kind $(RUN)/python manage.py postgres remove; done; \
		DEMO_MODE=1 $(RUN)/python manage.py cluster remove; fi
	rm -rf $(VENV) var staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
