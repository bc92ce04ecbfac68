# `make` lists the targets. PYTHON= names the interpreter (3.9-3.11), VENV= the folder of the virtual environment.

VENV = .venv
PY = $(VENV)/bin/python
PYTEST_ARGS =
NOTEBOOKS =
FUZZ_ARGS =
PORTABILITY_ARGS = --deviation --rate
BENCH_ARGS =

# What the demo runs, one command a line.
define DEMO
$(PY) hypmqw2022.py compress res/eval/kodim23.png build/demo/kodim23.tfci
$(PY) hypmqw2022.py info build/demo/kodim23.tfci
$(PY) hypmqw2022.py decompress build/demo/kodim23.tfci build/demo/kodim23.png --original res/eval/kodim23.png -V
@echo 'Look at build/demo/kodim23.png beside res/eval/kodim23.png.'
endef

export PYTHON
export PYTHONNOUSERSITE = 1
TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_CPP_MIN_LOG_LEVEL
unexport PYTHONPATH PYTHONHOME

.PHONY: help demo test slow fuzz portability bench notebooks venv venv-test clean

help:
	@echo 'make demo    set up $(VENV), compress and decompress a picture with the bundled weights'
	@echo 'make test    set up $(VENV) for testing; ruff, mypy and the quick tests'
	@echo 'make slow    the tests that take minutes'
	@echo 'make fuzz    20,000 broken files, which the decoders must survive; failing ones are kept in build/fuzz'
	@echo 'make bench   seconds of cold processes and warm calls, side by side, and how they grow'
	@echo 'make portability  files of each configuration decoded under every other (res/doc/portability.md)'
	@echo 'make notebooks  write the notebooks from their source and run them (NOTEBOOKS="tcm elic" chooses)'
	@echo 'make venv    set up $(VENV) only'
	@echo 'make clean   remove $(VENV) and everything else that was made here'
	@echo
	@echo 'PYTHON=/path/to/python3.11 names the interpreter (3.9-3.11), VENV=folder the environment,'
	@echo 'PYTEST_ARGS="-k words" chooses tests, FUZZ_ARGS="--mutants 2000 --seed 1" broken files.'
	@echo 'BENCH_ARGS="--parts cold --rounds 9" what bench measures.'
	@echo 'PORTABILITY_ARGS="PICTURES --jobs 2" what portability is measured on.'

demo: venv
	@mkdir -p build/demo
	$(DEMO)

test: venv-test
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

# pytest ends with 5 when there is nothing to run: not a failure here.
slow: venv-test
	$(PY) -m pytest -m slow -n 2 --dist loadfile $(PYTEST_ARGS) || test $$? -eq 5

fuzz: venv
	$(PY) -m tools.fuzz $(FUZZ_ARGS)

bench: venv
	$(PY) -m tools.bench res/eval/kodim23.png $(BENCH_ARGS)

portability: venv
	$(PY) -m lic.portability $(PORTABILITY_ARGS)

notebooks: venv-test
	$(PY) -m tools.notebooks $(NOTEBOOKS)

venv:
	@sh tools/venv.sh make '$(VENV)'

venv-test:
	@sh tools/venv.sh make '$(VENV)' test

clean:
	@test ! -e '$(VENV)' || test -e '$(VENV)/.lic-tf' || { echo '$(VENV) was not made here: left alone'; exit 1; }
	rm -rf '$(VENV)' build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
