# What a stranger needs: `make demo`, `make serve`, `make test`, and `make serve-real` for the site on MariaDB and
# memcached. What a contributor adds: lint, docs, coverage, clean.
#
# Rules:
# - Nothing is expected but make, git and a Python of 3.11 or newer. All else goes into a venv inside the clone.
# - `make test` and `make serve-real` run memcached and MariaDB of their own. What of these is not installed comes through
#   apt-get, as root; anybody else is told what to install. Nothing else needs a server.
# - `make test PYTHON=python3.13` uses another interpreter, with a venv of its own (.venv-3.13).
# - A target installs only what it needs: each dependency group of pyproject.toml has a stamp in the venv.
# - A venv is made once, and again when pyproject.toml changes.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ifeq ($(origin PYTHON),undefined)
  PYTHON := python3
  VENV := .venv
else
  VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' || echo unknown)
endif

BIN := $(VENV)/bin/python
BUILD := build
DATABASE := $(BUILD)/qa.db
QUESTIONS := 200

# One data file per venv, so that two Pythons can run the suite at the same time.
export COVERAGE_FILE := $(BUILD)/coverage$(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Ordinary users may lack these, and servers live there.
SBIN := /usr/sbin:/usr/local/sbin:/sbin

.PHONY: help demo serve serve-real servers test lint docs coverage clean

help:
	@echo "make demo       the model page three ways on a generated site: queries and ms per page"
	@echo "make serve      serve the example site and say its address"
	@echo "make serve-real the same on a private MariaDB and memcached; DATA=folder imports a Stack Exchange dump first"
	@echo "make test       the whole suite, on every kind of event loop and beside real servers"
	@echo "make soak       a minute of workers and servers that die, and a checker of what was read; SECONDS=600 for longer"
	@echo "make lint       ruff, mypy --strict, pyright"
	@echo "make docs       build the documentation into $(BUILD)/docs"
	@echo "make coverage   what the core's tests did not reach in the last make test"
	@echo "make bench      speed beside other DataLoaders, asynq and hand-primed code, as ratios"
	@echo "make mutants    take guards away one at a time; each must turn a test red"
	@echo "make faults     promises under fire, here and in other DataLoaders, into docs; CHECK=1 compares instead"
	@echo "make clean      remove what make made"

demo: $(VENV)/.demo
	@$(BIN) -m examples.qa page --generate $(QUESTIONS) --questions 10 --cache

serve: $(VENV)/.demo $(DATABASE)
	@$(BIN) -m examples.qa serve --db sqlite:$(DATABASE)

$(DATABASE): | $(VENV)/.demo
	@mkdir -p $(@D)
	@$(BIN) -m examples.qa generate --questions $(QUESTIONS) --to sqlite:$@

# Both servers live in a temporary folder and end with the site.
serve-real: servers $(VENV)/.serve-real
	@exec $(BIN) -m tests.servers -- $(SHELL) -euc '$(fill-mysql); exec $(serve-stores)'

ifdef DATA
  export DATA
  fill-mysql = $(BIN) -m examples.qa import --data "$$DATA" --to "$$QA_MYSQL"
else
  fill-mysql = $(BIN) -m examples.qa generate --questions $(QUESTIONS) --to "$$QA_MYSQL"
endif
serve-stores = $(BIN) -m examples.qa serve --db "$$QA_MYSQL" --cache "$$QA_MEMCACHED"

# Two processes, each with whole files and servers of its own; WORKERS=0 is one without others.
WORKERS := 2
suite = $(BIN) -m pytest -p tests.measured -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# pytest's closing line is the last one: coverage speaks only when the core's tests do not reach all of the core. What
# ARGS choose (`make test ARGS=tests/edges`) is not held to that.
test: servers $(VENV)/.test
	@mkdir -p $(BUILD)
	@$(BIN) -m coverage erase
	@$(suite) $(ARGS)
	@$(BIN) -m coverage combine -q
	@$(if $(ARGS),,$(core-is-covered))

define core-is-covered
$(BIN) -m coverage report --include='batchio/_core/*' --fail-under=100 >$(BUILD)/uncovered$(VENV).txt \
	|| { cat $(BUILD)/uncovered$(VENV).txt; echo "make test: tests/core does not cover batchio/_core in full"; exit 1; }
endef

# Of the core's tests, which alone are measured; after `make test MEASURED=`, of all.
coverage: $(VENV)/.test
	@$(BIN) -m coverage report

# Eight processes on servers of their own, a nemesis, and a checker of their histories: `make soak ARGS="--seed 7"`.
SECONDS := 60

.PHONY: soak
soak: servers $(VENV)/.test
	@$(BIN) -m tests.soak --seconds $(SECONDS) $(ARGS)

lint: $(VENV)/.lint
	$(BIN) -m ruff check .
	$(BIN) -m ruff format --check .
	$(BIN) -m mypy
	$(BIN) -m pyright --pythonpath $(BIN)

docs: $(VENV)/.docs
	$(BIN) -m sphinx -E -n -W --keep-going -q -b html -d $(BUILD)/doctrees docs $(BUILD)/docs
	@echo "$(BUILD)/docs/index.html"

# Guards are taken away, one at a time, and each must turn a test red.
.PHONY: mutants
mutants: servers $(VENV)/.test
	@$(BIN) -m tests.mutants

# The fault scoreboard and its figures: docs/explanation/faults.md is written, or with CHECK=1 compared. It takes some
# minutes, so CI does not run it; the suite has a test that batchio keeps every promise and that the page names it.
# Always the same Python, as words may differ from one to the next: FAULTS_PYTHON says where it is. Of a pyenv shim one
# sees that it does not run; then pyenv's own folders are looked through.
FAULTS_PYTHON := python3.13
.PHONY: faults
faults: servers
	@for python in $(FAULTS_PYTHON) "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13*/bin/python; do \
		if version="$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"; then \
			$(MAKE) PYTHON="$$python" .venv-$$version/.faults; \
			exec .venv-$$version/bin/python -m tests.faults.scoreboard $(if $(CHECK),--check) $(ARGS); \
		fi; \
	done; \
	echo "make faults: there is no Python 3.13; say where one is with FAULTS_PYTHON=..." >&2; exit 2

clean:
	rm -rf .venv .venv-* $(BUILD) dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache

# Both Pythons side by side, each in a venv of its own: BENCH_PYTHONS names others, or other places of these. A pyenv shim
# answers for versions that are not switched on, so each is tried first. BENCH=quick is a first look.
BENCH_PYTHONS := python3.11 python3.13
.PHONY: bench
bench: servers
	@venvs=; for python in $(BENCH_PYTHONS); do \
		version="$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" \
			|| { echo "make bench: $$python does not run; say where the Pythons are with BENCH_PYTHONS=..." >&2; exit 2; }; \
		$(MAKE) PYTHON=$$python .venv-$$version/.bench; \
		venvs="$$venvs .venv-$$version/bin/python"; \
	done; \
	PYTHONPATH="$${PYTHONPATH:+$$PYTHONPATH:}$(CURDIR)" $${venvs##* } -P -m tests.bench $$venvs

servers:
	@missing="$$($(missing-servers))"; [ -z "$$missing" ] || { $(install-servers); }

# Packages, by the programs that are not there.
define missing-servers
PATH="$$PATH:$(SBIN)"; \
command -v memcached >/dev/null || echo memcached; \
command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null || echo mariadb-server
endef

# Two suites may start at once: one installs, and the other waits, then looks again. apt-get itself waits for dpkg's lock
# but not for that of its lists, so a flock of ours goes around both (and is not left to what the packages start); an
# update that fails all the same may do no harm.
define install-servers
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	exec 9</var/lib/apt/lists; flock 9; \
	missing="$$($(missing-servers))"; [ -n "$$missing" ] || exit 0; \
	echo "installing" $$missing "with apt-get"; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq >/dev/null 2>&1 || true; \
	said="$$(apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 $$missing 2>&1 9<&-)" \
		|| { echo "$$said" | tail -n 5 >&2; exit 1; }; \
else \
	echo "memcached or MariaDB is not installed: sudo apt-get install" $$missing >&2; \
	exit 1; \
fi
endef

# A venv without pip is what Debian and Ubuntu give where python3-venv is missing: then it is installed, as root, or
# named. Their pip may be older than dependency groups (25.1), so it is renewed first, inside the venv.
$(VENV)/.made: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "batchio needs Python 3.11 or newer; try make PYTHON=python3.13" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || { $(install-venv) && $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN) -m pip install -qq --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.%: $(VENV)/.made
	@echo "installing what make $* needs into $(VENV)"
	@$(BIN) -m pip install -qq --editable . --group $*
	@touch $@

.PRECIOUS: $(VENV)/.made

# The package is named after the interpreter: python3.13-venv for /usr/bin/python3.13.
define install-venv
package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	echo "installing $$package with apt-get"; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get update -qq && apt-get install -qq -y $$package; } >/dev/null; \
else \
	echo "$(PYTHON) cannot make a venv: install $$package (sudo apt-get install $$package), then run make again" >&2; \
	exit 1; \
fi
endef
