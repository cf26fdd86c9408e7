# Each target makes its own environment. PYTHON chooses the interpreter (3.10 or newer).
PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet

.PHONY: demo dev test coverage screenshots contract contract-live simulate lint docs wheel clean

demo: .venv/.demo
	.venv/bin/wiro-dagster demo

# PORT chooses the port of Dagster's UI: make dev PORT=3001
dev: .venv/.demo
	.venv/bin/wiro-dagster dev $(if $(PORT),--port $(PORT))

# Dozens of processes import the project: its bytecode is kept, whatever the environment says.
test coverage: export PYTHONDONTWRITEBYTECODE =

test: .venv/.test
	.venv/bin/python -m pytest --durations=15

# The suite with its branches counted, which takes longer. It fails below two gates: one for
# everything (pyproject.toml), and one for the rooms where money depends on it.
coverage: .venv/.test
	.venv/bin/python -m pytest --durations=15 --cov
	.venv/bin/python -m coverage report --fail-under=96 \
		--include='wiro_dagster/orders/*,wiro_dagster/ledger/*,wiro_dagster/pricing/*'

# The pictures in docs/images, taken by the tests that click through Dagster's UI.
screenshots: .venv/.test
	WIRO_SCREENSHOTS=docs/images .venv/bin/python -m pytest tests/system/test_dev.py -n 0

# The API contract, endpoint by endpoint, as a table: against the emulator, or by hand against Wiro
# with WIRO_API_KEY set. That reads only, unless SPEND_LIMIT=1.00 allows it to buy.
contract: .venv/.test
	.venv/bin/python -m tests.contract

contract-live: .venv/.test
	.venv/bin/python -m tests.contract --live $(if $(SPEND_LIMIT),--spend-limit $(SPEND_LIMIT))

# Product and emulator in one process on a clock of their own, everything random from a seed:
# make simulate ORDERS=1000000 SEED=7 JOBS=2. It prints a line for each thousand orders, and how a
# failure comes back.
simulate: .venv/.test
	.venv/bin/python -m tests.simulation --orders $(or $(ORDERS),1000) --seed $(or $(SEED),1) \
		--jobs $(or $(JOBS),1)

lint: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The guides as a site, in build/site.
docs: .venv/.docs
	.venv/bin/mkdocs build --quiet --strict --config-file docs/site/mkdocs.yml

# Builds the wheel, installs it in an empty folder, and runs its demo there.
wheel:
	PYTHON=$(PYTHON) .ci/wheel

clean:
	rm -rf .venv .wiro videos build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing into .venv; the first time takes a minute or two ..."
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv/.test: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@ .venv/.demo

.venv/.docs: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable '.[docs]'
	@touch $@
