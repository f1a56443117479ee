# Everything happens in .venv beside this file. Paths are relative, so that a checkout path may hold spaces.
PYTHON ?= python3
ARGS ?=
PIP_ARGS ?=

HERE := $(CURDIR)
BIN := .venv/bin
RUN := $(BIN)/python
STAMP := .venv/.stamp
KERNELS := .venv/kernels/6.31/.stamp .venv/kernels/7.3/.stamp
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root,)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Two processes, each with whole files of tests in their order; those in JupyterLab by themselves, after all others.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
# The notebooks are one file of tests, each of which takes long and needs none of the others.
EACH_ALONE := -n 2 --dist worksteal
# Threads that wait for each other sleep instead of spinning: the browser needs the cores, too.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help venv demo lecture test test-all browser kernels check format bench screenshots clean moved

help: ## this list
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile
	@echo "PYTHON=python3.12 chooses the interpreter of a new .venv, PIP_ARGS=... goes to pip install."

venv: $(STAMP) ## .venv with the package (editable) and all that the demo and the tests need

# An editable install and the scripts of a .venv hold this directory's path: one that came from elsewhere is made anew.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(HERE))
$(STAMP): moved
endif

$(STAMP): pyproject.toml setup.cfg
	@test ! -s $(STAMP) || test "$$(cat $(STAMP))" = "$(HERE)" || rm -rf .venv
	@rm -f $(STAMP)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is missing or older than Python 3.11: name a newer one, make venv PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' || { \
	  echo "$(PYTHON) cannot make virtual environments: on Debian or Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet $(PIP_ARGS) -e '.[demo,test]'
	@printf '%s\n' "$(HERE)" > $(STAMP)

demo: venv ## the tour in JupyterLab; ARGS go to JupyterLab, as in make demo ARGS=--no-browser
	PATH="$(HERE)/$(BIN):$$PATH" $(RUN) -m jupyterlab --ServerApp.root_dir="$(HERE)" \
	  --LabApp.default_url=/lab/tree/notebooks/00_tour.ipynb $(ROOT_FLAG) $(ARGS)

lecture: venv ## the notebooks as pages without code, for a projector; ARGS as in make lecture ARGS='--dark --port=9000'
	PATH="$(HERE)/$(BIN):$$PATH" $(RUN) -m cnnviz_widgets.lecture notebooks $(ARGS)

# Style faults do not keep the tests from running, but they do fail the target.
test: venv browser kernels ## ruff, mypy and every test that is not long; ARGS go to pytest
	@$(MAKE) --no-print-directory check; checked=$$?; \
	$(RUN) -m pytest -m "not long and not notebooks" $(SIDE_BY_SIDE) --ignore=tests/browser $(ARGS); quick=$$?; \
	$(RUN) -m pytest -m "not long and notebooks" $(EACH_ALONE) $(ARGS); notebooks=$$?; \
	$(RUN) -m pytest tests/browser -m "not long" $(SIDE_BY_SIDE) $(ARGS) && test $$quick -eq 0 && test $$notebooks -eq 0 && exit $$checked

test-all: venv browser kernels ## the same with the long tests
	@$(MAKE) --no-print-directory check; checked=$$?; \
	$(RUN) -m pytest -m "not notebooks" $(SIDE_BY_SIDE) --ignore=tests/browser $(ARGS); quick=$$?; \
	$(RUN) -m pytest -m notebooks $(EACH_ALONE) $(ARGS); notebooks=$$?; \
	$(RUN) -m pytest tests/browser $(SIDE_BY_SIDE) $(ARGS) && test $$quick -eq 0 && test $$notebooks -eq 0 && exit $$checked

check: venv ## ruff and mypy alone
	@status=0; \
	$(RUN) -m ruff check || status=1; \
	$(RUN) -m ruff format --check || status=1; \
	$(RUN) -m mypy || status=1; \
	exit $$status

browser: venv ## Chromium for the tests, where none is found
	@$(RUN) -m tests.chromium

kernels: $(KERNELS) ## the other ipykernel versions that the browser tests run on

# nest-asyncio is what ipykernel 6 imports and ipykernel 7 no longer brings along.
.venv/kernels/6.31/.stamp: | $(STAMP)
	@rm -rf $(@D)
	$(RUN) -m pip install --quiet --no-deps --target $(@D) ipykernel==6.31.0 nest-asyncio==1.6.0
	@touch $@

.venv/kernels/7.3/.stamp: | $(STAMP)
	@rm -rf $(@D)
	$(RUN) -m pip install --quiet --no-deps --target $(@D) ipykernel==7.3.0
	@touch $@

format: venv ## mend what ruff can mend
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

bench: venv browser ## every file of benchmarks/, one after the other; ARGS go to each
	@for file in benchmarks/[a-z]*.py; do \
	  test -f "$$file" || continue; echo "== $$file"; $(RUN) "$$file" $(ARGS) || exit 1; \
	done

screenshots: venv browser ## the pictures in docs/images, taken anew; ARGS name some of them
	$(RUN) -m tests.browser.screenshots $(ARGS)

clean: ## remove .venv and all that was built
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache test-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
