# `make run` starts the service, `make test` runs the tests. Each target installs what it needs; Python and make suffice.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run test test-unit chaos train adopt score bench bench-training check sbom fuzz format lock vendor clean

# MENAGERIE_ENGINE=keras needs TensorFlow.
run: $(VENV)/$(if $(filter keras,$(MENAGERIE_ENGINE)),keras,serve)
	@exec $(BIN)/python -m service

# More workers than cores, as most tests wait for something; tests/support/exclusive_tests.py says what runs alone.
# Hundreds of processes start the service: with PYTHONDONTWRITEBYTECODE=1, each would compile all of its modules.
# Threads of OpenMP, in gradient boosting for example, would spin while they wait for each other on busy cores.
test: $(VENV)/dev
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# Takes about a minute: no processes, no sockets, no TensorFlow.
test-unit: $(VENV)/dev
	$(BIN)/pytest tests/unit --numprocesses logical --maxprocesses 4 --dist loadfile -m "not tensorflow" $(ARGS)

# The long form of tests/chaos, which prints the table in docs/reliability.md.
chaos: $(VENV)/dev
	$(BIN)/pytest tests/chaos --long $(ARGS)

train: $(VENV)/train
	$(BIN)/python -m models.train $(ARGS)

# Makes a Keras model of yours servable: make adopt ARGS="churn.keras --sample customers.csv --label churned"
adopt: $(VENV)/train
	$(BIN)/python -m models.adopt $(ARGS)

# Installs what `python -m service.score` needs in addition to the service.
score: $(VENV)/score

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks $(if $(PEERS),--peers $(PEERS)) $(ARGS)

# Trains on public tables and writes the comparison with logistic regression into docs/decisions/0017-measured-rows.md.
bench-training: $(VENV)/dev
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.training $(ARGS)

check: $(VENV)/dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/pytest tests/unit/test_docs.py tests/unit/test_architecture_page.py tests/unit/test_repository.py
	$(BIN)/python -m supply.audit

# The image's bill of materials, Debian and Python packages, in CycloneDX.
sbom: $(VENV)/dev
	docker build --tag menagerie .
	$(BIN)/python -m supply.sbom menagerie sbom.json

# Fuzzes each parser for SECONDS, and loads 10,000 mutated networks; findings go to tests/fuzz/corpus.
SECONDS ?= 60
FUZZED ?= strictjson native predict explain tfpredict tfclassify infer mixedpredict mixedtfpredict mixedinfer head id path manifest edits csv keys

fuzz: $(VENV)/dev .fuzz/atheris
	for target in $(FUZZED); do PYTHONPATH=.fuzz/atheris $(BIN)/python tests/fuzz/run.py $$target $(SECONDS) || exit 1; done
	cd tests && PYTHONPATH=.. $(abspath $(BIN))/python -m support.mutated_networks 10000

# Not in a lock, because it has wheels only for Linux and some releases of Python.
.fuzz/atheris: | $(VENV)/dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target $@ atheris==3.0.0

format: $(VENV)/dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# One environment that grows: a lock includes the smaller ones that it extends, so a change to any may concern it. All
# cores compile its modules, some of which are templates and no Python; pip would use one.
$(VENV)/serve $(VENV)/keras $(VENV)/train $(VENV)/score $(VENV)/dev: $(VENV)/%: $(wildcard requirements/*.txt) | $(VENV)/pyvenv.cfg
	@echo "installing requirements/$*.txt into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --requirement requirements/$*.txt
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is required: make PYTHON=/path/to/python3")'
	@$(PYTHON) -m venv $(VENV)

# The locks are for Python 3.11 and newer, and deliberately contain no download addresses. UPGRADE= keeps the pins that
# pyproject.toml still allows, and adds only what is new there.
UPGRADE ?= --upgrade

lock: $(VENV)/pyvenv.cfg
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13'
	$(BIN)/python -m supply.locks $(UPGRADE)

# Updates the page's libraries from npm; they are in the repository, so no other target needs this.
vendor:
	service/web/static/vendor/update

clean:
	rm -rf $(VENV) .bench .clients .fuzz .policy .spark .supply sbom.json .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
