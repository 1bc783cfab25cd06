# make try     install, then two nodes write to each other before your eyes
# make setup   .venv with willcall in it
# make test    install what tests need, check the floors, run the tests
# make check   format, lint, types, floors, tests: what CI runs
# make format  what check would complain about, where a program can mend it
# make sim     a month of virtual time, told as a story; SEED=7 for another one
# make soak    fresh seeds and planted faults until Ctrl-C, with catch rates
# make soak-crash  kills, power cuts, failing calls and damage at full size: hours; SIZE=3: thrice the usual
# make fuzz    coverage-guided fuzzing of every decoder; TARGET=mail SECONDS=600
# make flood   a thousand bots against one node, goals beside figures; ARGS="100 100" is quick
# make bench   how fast, on this machine
# make man     the manual page, build/willcall.1
# make lock    renew both lock files
# make clean   remove everything that make made

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check --quiet install
UV   := uv==0.13.9

# Ready-made packages only, where every one exists; else .ci/python has looked for a compiler.
ifeq ($(shell uname -s)-$(shell uname -m),Linux-x86_64)
READY := --only-binary :all:
else
READY := --prefer-binary
endif

.PHONY: setup try test check format sim soak soak-crash fuzz flood bench man lock clean
.DEFAULT_GOAL := setup

setup: $(VENV)/.runtime
	@echo "willcall is in $(BIN). Next: make try, or $(BIN)/willcall --help"

try: $(VENV)/.runtime
	@$(BIN)/willcall try

test: $(VENV)/.dev
	@$(BIN)/lint-imports --no-logo > $(VENV)/floors.txt || { cat $(VENV)/floors.txt; exit 1; }
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

check: $(VENV)/.dev
	@$(BIN)/ruff format --check --quiet . || { echo "next: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(MAKE) --no-print-directory test

format: $(VENV)/.dev
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

sim: $(VENV)/.dev
	@$(BIN)/python -m tests.sim $(SEED) $(ARGS)

soak: $(VENV)/.dev
	@$(BIN)/python -m tests.sim.soak $(ARGS)

# Installed when asked for: it has ready packages for x86_64 alone, another release for each Python.
fuzz: $(VENV)/.dev
	@test -d build/fuzz/atheris || $(PIP) --only-binary :all: --target build/fuzz "atheris>=3,<4"
	@PYTHONPATH=build/fuzz $(BIN)/python -m tests.hostile.fuzz "$(TARGET)" "$(or $(SECONDS),60)"

flood: $(VENV)/.dev
	@$(BIN)/python -m tests.flood $(ARGS)

soak-crash: $(VENV)/.dev
	@CRASH=$(or $(SIZE),soak) $(BIN)/python -m pytest tests/crash $(ARGS)

bench: $(VENV)/.dev
	@$(BIN)/python -m tests.bench $(ARGS)

man: $(VENV)/.runtime
	@mkdir -p build && $(BIN)/willcall man > build/willcall.1 && echo build/willcall.1

# --- the virtual environment ----------------------------------------------------------
# A stamp is as new as what was installed last. The dev lock holds the runtime's versions
# too, so both can follow each other in one .venv.

$(VENV)/.made: .ci/python
	@python=$$(.ci/python) && echo "making $(VENV) with $$($$python --version) ($$python)" && \
	    rm -f $(VENV)/.runtime $(VENV)/.dev && $$python -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made requirements.lock pyproject.toml
	@echo "installing what willcall needs"
	@$(PIP) $(READY) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@echo "installing what tests and checks need"
	@$(PIP) $(READY) --require-hashes -r requirements-dev.lock
	@touch $@

# --- lock files -----------------------------------------------------------------------
# Every file's hash of every release, for Python 3.11 and 3.12 on any machine.
# `make lock ARGS=--upgrade` takes newer releases; without it only what must change changes.

COMPILE = build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
    --generate-hashes --custom-compile-command "make lock" $(ARGS)

lock: build/lock/bin/uv
	@$(COMPILE) --extra build -o requirements.lock pyproject.toml
	@$(COMPILE) --extra build --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

build/lock/bin/uv: .ci/python
	@python=$$(.ci/python) && $$python -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check --quiet install $(UV)
	@touch $@

clean:
	@rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache \
	    .import_linter_cache
	@find node cli bootstrap tests -name __pycache__ -prune -exec rm -rf {} +
