PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HTML := _build/html
PORT ?= 8000
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := uv pip compile --universal --python-version 3.11 --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --quiet

# Most of a page's time goes into compiling, and pages, tests and repeated runs share programs.
export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/_build/.jax_cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES := -1
# One process may find a program that another is still writing; it then compiles by itself.
export PYTHONWARNINGS := ignore:Error reading persistent compilation cache:UserWarning

# Many containers forbid Python to keep its bytecode: every page's kernel would make that of all packages anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help book numbers pdf test check latest oldest mutations serve lab bench lock clean

help: ## Show what there is to make
	@sed -n 's/^\([a-z ]*\):.*## /\1\t/p' Makefile | expand -t 16

# One stamp per environment: it is made anew when what it holds has changed.
$(VENV)/.book: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "The course needs Python 3.11 or newer with the venv module; try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.test: tests/requirements.txt $(VENV)/.book
	$(PIP) -r tests/requirements.txt
	@touch $@

# Most programs of pages and tests run once or a few times, so XLA had better compile them fast; and two
# pages keep two cores busy, so it need not split a program to compile its parts at once.
# XLA stops at a flag that it does not know; the last one is gone in JAX 0.12 (there: make test EMITTERS=).
GIVEN := $(XLA_FLAGS)
EMITTERS = --xla_cpu_use_fusion_emitters=false
FAST = --xla_backend_optimization_level=1 --xla_cpu_parallel_codegen_split_count=1 $(EMITTERS)
latest: EMITTERS =
book lab test check latest oldest mutations: export XLA_FLAGS = $(or $(GIVEN),$(FAST))
book: $(VENV)/.book ## Execute and build the book
	$(BIN)/jupyter-book build . -W --keep-going $(FLAGS)

numbers: book ## Keep the numbers that the book's text shows, for the notebooks
	cp _build/numbers.json vgcourse/_data/numbers.json

serve: ## Show the built book
	@test -f $(HTML)/index.html || { echo "There is no book yet; run: make book"; exit 1; }
	@echo "The book is at http://localhost:$(PORT)/ (Ctrl-C ends it)"
	@$(PYTHON) -m http.server $(PORT) --bind localhost --directory $(HTML)

pdf: $(VENV)/.test ## Print the book into one PDF, _build/book.pdf
	$(BIN)/python tools/chromium.py
	$(MAKE) book
	$(BIN)/python -m tools.pdf

lab: $(VENV)/.book ## Open the pages as notebooks, in the folder notebooks/ (FRESH=1: without your changes)
	$(BIN)/python -m tools.notebooks notebooks $(if $(FRESH),--fresh)
	cd notebooks && ../$(BIN)/jupyter lab index.ipynb

# Two processes with one thread each: more threads than cores spend a third of their time waiting for each other.
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 NPROC=1 \
          $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10

# TORCH=1 adds PyTorch as one more oracle. It is no default: on many machines it is gigabytes.
test: $(VENV)/.test ## Before every commit: ruff, all unit tests, a book of two pages, one notebook (TORCH=1: PyTorch as an oracle too)
	@if [ "$(TORCH)" = 1 ]; then $(PIP) torch==2.13.0 || \
	  echo "PyTorch could not be installed; its oracle is left out."; fi
	$(BIN)/python tools/chromium.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST) tests/small tests/unit tests/cases

check: $(VENV)/.test ## What takes longer: build the book; test every page, notebook, claim and kept result
	$(BIN)/python tools/chromium.py
	$(MAKE) book
	$(PYTEST) tests/notebooks tests/results tests/book

# In environments of their own. The book is left out: it stays with Jupyter Book 1 and the pinned versions. Old
# releases warn of what newer ones of other packages have changed.
latest oldest: ## Run the unit tests with the newest releases, or with the oldest that pyproject.toml allows
	$(PYTHON) -m venv --clear _build/$@
	grep -E '^(dependencies|course) =' pyproject.toml | grep -oE '[a-z]+>=[0-9.]+' | sed 's/>=/==/' > _build/oldest.txt
	_build/$@/bin/python -m pip install --quiet --upgrade pip
	_build/$@/bin/python -m pip install --quiet --group unit --editable ".[course]" \
	  $(if $(filter oldest,$@),--constraint _build/oldest.txt)
	_build/$@/bin/python -m pytest -n 2 --dist loadfile tests/unit $(if $(filter oldest,$@),-o filterwarnings=default)

# mutmut names the changes of a function by numbers; the fifth of each makes a fixed sample of formulas.
mutations: $(VENV)/.test ## Change one formula of every function; list the changes that no test notices (about an hour)
	$(PIP) mutmut==3.8.1
	$(BIN)/mutmut run "*__mutmut_5"
	$(BIN)/mutmut results

# A quarter of an hour. Peers only: what can't be had, the table says is missing.
bench: $(VENV)/.test ## Measure the speed beside peers (WRITE=1: keep it in benchmarks/speed.md; WHOLE=1: a fresh clone too)
	$(BIN)/python tools/chromium.py
	$(MAKE) book
	@$(PIP) autograd==1.9.1 || true
	@$(PIP) torch==2.13.0 || true
	@mkdir -p _build/peers && cd _build/peers && for peer in \
	  @jupyter-widgets/html-manager@1.0.15 requirejs@2.3.8; do \
	  npm pack --silent $$peer >/dev/null 2>&1 || true; done; \
	  for file in *.tgz; do tar -xzf $$file || true; done
	$(BIN)/python -m benchmarks $(if $(WRITE),--write) $(if $(WHOLE),--whole)

lock: ## Pin the newest versions that fit (needs uv)
	$(LOCK) --extra course --group book pyproject.toml -o requirements.txt
	$(LOCK) --group test -c requirements.txt -o tests/requirements.txt
	$(LOCK) --extra course --group binder -c requirements.txt pyproject.toml -o binder/requirements.txt

clean: ## Remove what was built, but not the environment
	rm -rf _build mutants
