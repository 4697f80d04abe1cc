# Two commands matter: `make book` and `make test`. Each sets up everything it needs by itself.
# The first Python that runs; a name may be there and lead nowhere. PYTHON=… takes another.
PYTHON ?= $(or $(firstword $(foreach one,python3.11 python3.12 python3.13,$(shell $(one) -c 'print("$(one)")' \
  2>/dev/null))),python3.11)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUILD = $(BIN)/python -m tools.make
CHECK = $(BIN)/ruff check .
FORMAT = $(BIN)/ruff format --check .
TYPES = $(BIN)/python -m basedpyright --pythonpath $(BIN)/python

# What users give is text: make expands nothing in it, and recipes read it from the environment, so that no shell parses
# it. A branch must be named on the command line: an environment may have a BRANCH for other reasons.
override CHAPTERS := $(value CHAPTERS)
override CASES := $(value CASES)
override REPS := $(value REPS)
override URL := $(value URL)
override BRANCH := $(if $(filter command,$(origin BRANCH)),$(value BRANCH))
override EXECUTOR := $(value EXECUTOR)
override NETWORKS := $(value NETWORKS)
override HASHES := $(if $(value HASHES),1)
export CHAPTERS CASES EXECUTOR NETWORKS REPS URL BRANCH

.DEFAULT_GOAL := help
.PHONY: help book test refresh full networks bench coverage student instructor lab lint pdf slides address notebooks pages links
.PHONY: hashes wheel floors newest colab package clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(READY) ## execute the chapters that changed and render the pages into _build/html
	@$(BIN)/python .ci/loopback.py
	@$(BUILD) book

test: $(READY) ## run every test: lint, types, units, notebooks against their stored outputs, pages
	@$(BIN)/python .ci/loopback.py
	@failed=; \
	stage() { printf '\n== %s ==\n' "$$1"; name=$$1; shift; "$$@" || failed="$$failed, $$name"; }; \
	stage "lint" $(CHECK); \
	stage "format" $(FORMAT); \
	stage "types" $(TYPES); \
	export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 JUPYTER_PREFER_ENV_PATH=1; \
	stage "unit tests" $(BIN)/python -m pytest tests acelib tools --doctest-modules -n 2 --dist loadscope \
	    --ignore=tests/notebooks --ignore=tests/pages --cov --cov-report=term:skip-covered --cov-fail-under=95; \
	stage "stored notebooks (nbval)" $(BIN)/python -m pytest book --nbval --nbval-current-env \
	    --nbval-sanitize-with tests/notebooks/sanitize.cfg -n 2 --dist loadscope; \
	stage "notebook tests" $(BIN)/python -m pytest tests/notebooks; \
	stage "page tests" $(BIN)/python -m pytest tests/pages -n 2 --dist loadscope; \
	if [ -n "$$failed" ]; then printf '\nFAILED:%s\n' "$${failed#,}"; exit 1; fi; printf '\nall tests passed\n'

refresh: $(READY) ## keep the outputs of the last `make book` as the stored ones
	@$(BUILD) refresh
	@$(BIN)/python -m tools.front

full: $(READY) ## run chapters at the papers' sizes and write data/ledger (CHAPTERS="name …"; EXECUTOR=dask)
	@set -f; $(BUILD) full $$CHAPTERS
	@$(BIN)/python -m tools.front

networks: $(READY) ## train the networks that ship anew (NETWORKS="vae …"; EXECUTOR=dask, as for full)
	@set -f; $(BIN)/python -m tools.training $$NETWORKS

bench: $(READY) ## measure the benchmarks and write data/benchmarks.json
	@$(BIN)/python -m tools.bench

coverage: $(READY) ## count how often 95 % intervals hold known truths (CASES="groups sobol" for some, REPS=100)
	@set -f; $(BIN)/python -m tools.coverage $$CASES $${REPS:+--reps "$$REPS"}

student: $(READY) ## write the chapters without solutions, ready for nbgrader, into _build/student
	@$(BIN)/python -m tools.editions student

instructor: $(READY) ## write the chapters with solutions, ready for nbgrader, into _build/instructor
	@$(BIN)/python -m tools.editions instructor

lab: $(READY) ## open the chapters in JupyterLab
	@$(BIN)/python -m jupyterlab --notebook-dir=book

lint: $(READY) ## check style and format of the code, and the types of the method
	@$(CHECK) && $(FORMAT) && $(TYPES)

pdf: book ## print a handout for each chapter and the whole book into _build/pdf (needs Chromium)
	@$(BIN)/python -m tools.pdf

slides: book ## make a deck for each chapter in _build/html/slides
	@$(BIN)/python -m tools.slides

address: $(READY) ## change the repository's address everywhere: make address URL=https://github.com/you/name
	@$(BIN)/python -m tools.address "$$URL"

notebooks: $(READY) ## write the chapters for Jupyter and Colab into _build/notebooks (BRANCH=colab also commits them there)
	@$(BIN)/python -m tools.notebooks $${BRANCH:+--branch "$$BRANCH"}

hashes: $(READY) ## write requirements-hashed.txt, with which `make book HASHES=1` installs
	@$(BIN)/python -m tools.hashes

pages: $(READY) ## render the stored chapters as they are into _build/stored/html
	@$(BUILD) stored --to _build/stored

links: pages ## ask every address outside that the pages lead to (needs a network)
	@$(BIN)/python -m tools.links _build/stored/html

wheel: ## test the method from the built wheel, with the pinned versions, where no source is in sight
	@$(PYTHON) -m tools.environments wheel

floors: ## the same with the lowest versions that the package allows, on Python 3.11
	@$(PYTHON) -m tools.environments floors

newest: ## the same with the newest versions of everything
	@$(PYTHON) -m tools.environments newest

colab: $(READY) ## run three chapters with the versions that Colab brings and compare their numbers
	@$(BIN)/python -m tools.environments colab

package: ## build the wheel and the source archive into _build/dist and check them
	@$(PYTHON) -m tools.package

clean: ## remove what the commands made, except the virtual environment
	rm -rf _build .coverage .pytest_cache .ruff_cache .hypothesis

# The stamp keeps the text of what was installed and is written last: a failed install is tried again; neither a file
# that was merely touched nor the links that `make address` writes are a reason to install anything. Quantus wants
# opencv-python, which needs a system's libGL; the headless build goes over it and needs nothing. With HASHES=1 pip takes
# only the files that requirements-hashed.txt knows, in a new environment; that file says why torch is not in it.
WANTED = sed '/^. address:/,/^. end of address:/d' constraints.txt pyproject.toml $(if $(HASHES),requirements-hashed.txt)
PIP = $(BIN)/python -m pip install -q
HASHED = $(PIP) --no-deps --require-hashes -r
ifdef HASHES
INSTALL = $(HASHED) requirements-hashed.txt && $(PIP) -c constraints.txt torch && \
	$(PIP) --no-deps --no-build-isolation -e .
HEADLESS = sed -n '/^opencv-python-headless==/,/[^\\]$$/p' requirements-hashed.txt > $(VENV)/headless.txt && \
	$(HASHED) $(VENV)/headless.txt --force-reinstall
else
INSTALL = $(PIP) -c constraints.txt -e '.[book,test,metrics]'
HEADLESS = $(PIP) --no-deps --force-reinstall -c constraints.txt opencv-python-headless
endif
$(READY): constraints.txt pyproject.toml $(if $(HASHES),requirements-hashed.txt)
	@if [ -x $(BIN)/pip ] && $(WANTED) | cmp -s - $@; then touch $@; exit 0; fi; \
	command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) was not found: install Python 3.11, 3.12 or 3.13," \
	    "or name one with \`make PYTHON=/path/to/python3.11 …\`."; exit 1; }; \
	[ -z "$(HASHES)" ] && [ -x $(BIN)/pip ] || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment: on Debian or Ubuntu run \`apt install python3-venv\`," \
	    "or the package of its version, such as python3.11-venv."; exit 1; }; \
	echo "installing into $(VENV) (minutes the first time)"; \
	$(INSTALL) && \
	$(HEADLESS) && \
	$(BIN)/python -m pip check && $(WANTED) > $@
