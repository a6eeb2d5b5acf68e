# `make run` serves, `make test` tests. Each sets up what it needs first: nothing to install but Python and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8000
export PORT

.PHONY: run test test-unit chaos train score bench check sbom fuzz format lock vendor clean

run: $(VENV)/serve
	@exec $(BIN)/gunicorn --config service/gunicorn.conf.py

# By files, beside one another: most tests wait for a socket. tests/support/exclusive_tests.py says which have the machine to themselves.
test: $(VENV)/dev
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# An answer in a minute: no process, no socket, no TensorFlow.
test-unit: $(VENV)/dev
	$(BIN)/pytest tests/unit --numprocesses logical --maxprocesses 4 --dist loadfile -m "not tensorflow" $(ARGS)

# The long form of tests/chaos, with its table: docs/reliability.md.
chaos: $(VENV)/dev
	$(BIN)/pytest tests/chaos --long $(ARGS)

train: $(VENV)/train
	$(BIN)/python -m models.train $(ARGS)

# What `python -m service.score` needs beside what serving does.
score: $(VENV)/score

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks $(if $(PEERS),--peers $(PEERS)) $(ARGS)

check: $(VENV)/dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit/test_docs.py tests/unit/test_architecture_page.py
	$(BIN)/python -m supply.audit

# What the image is made of, Debian's packages and Python's, in CycloneDX.
sbom: $(VENV)/dev
	docker build --tag menagerie .
	$(BIN)/python -m supply.sbom menagerie sbom.json

# Every parser for SECONDS each, and 10,000 mutants of the network; what is found lands in tests/fuzz/corpus.
SECONDS ?= 60
FUZZED ?= strictjson native predict explain tfpredict tfclassify infer head id path manifest edits keys

fuzz: $(VENV)/dev .fuzz/atheris
	for target in $(FUZZED); do PYTHONPATH=.fuzz/atheris $(BIN)/python tests/fuzz/run.py $$target $(SECONDS) || exit 1; done
	cd tests && PYTHONPATH=.. $(abspath $(BIN))/python -m support.mutated_networks 10000

# Its wheels are for Linux and some releases of Python only, so that it is in no lock.
.fuzz/atheris: | $(VENV)/dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target $@ atheris==3.0.0

format: $(VENV)/dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# One environment that grows: the others hold the very pins of serve.txt and more.
$(VENV)/serve $(VENV)/train $(VENV)/score $(VENV)/dev: $(VENV)/%: requirements/%.txt | $(VENV)/pyvenv.cfg
	@echo "setting up $(VENV) from $< (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3")'
	@$(PYTHON) -m venv $(VENV)

# The locks: universal (any platform, any Python from 3.11) and, on purpose, without a download address.
lock: $(VENV)/pyvenv.cfg
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13'
	for set in 'serve' 'otel --extra otel' 'train --extra train' 'score --extra score' \
		'dev --extra train --extra score --extra otel --extra bench --extra test --extra check'; do \
		set -- $$set; name=$$1; shift; \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
			pyproject.toml "$$@" --output-file requirements/$$name.txt || exit 1; \
	done

# The page's libraries, anew from npm; they are kept in the repository, so nothing else needs this.
vendor:
	service/web/static/vendor/update

clean:
	rm -rf $(VENV) .bench .clients .fuzz .policy .spark .supply sbom.json .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
