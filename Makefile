# Each target makes what it needs: a virtual environment with the pinned packages, then the pretrained weights.
# Both are kept, so a second run starts at once. PYTHON picks the interpreter (3.11 or newer) that .venv is made with.

PYTHON ?= python3
RUN := .venv/bin/python
INSTALLED := .venv/.stamp-installed
MODEL := $(RUN) -m g2face_model
DEFACE := .venv-deface/bin/deface
LABEL_STUDIO := .venv-label-studio/bin/label-studio
FACES ?= ../shared/faces
EVALUATE ?= --limit 100

.PHONY: help install weights label-studio demo demo-once demo-photos test lint format bench figures evaluate clean

help:
	@echo "make demo     Label Studio with anonymized sample photos, intake, plugin, worker and admin, until Ctrl-C"
	@echo "make demo-once     the same, ends by itself"
	@echo "make demo-photos   no Label Studio: anonymize the sample photos, restore one, into demo-out/"
	@echo "make test     linters, types, import contracts and all tests"
	@echo "make bench    speed and memory per face, beside deface"
	@echo "make figures  privacy, utility and cost on the photographs in FACES=folder"
	@echo "make evaluate     the report on the photographs in FACES=folder, into evaluation/, and docs/results.md"
	@echo "make weights  fetch and check the pretrained weights"
	@echo "make lint | format | install | clean"

# Where pip has a CPU build of torch to offer it is taken; elsewhere on Linux the pinned torch carries CUDA as well.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	@test -x $(RUN) || $(PYTHON) -m venv .venv
	@echo "installing the pinned packages (about a minute, once)"
	@$(RUN) -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[demo,dev,ml]'
	@$(RUN) -m pip install -qq --disable-pip-version-check --no-deps label-studio-ml==1.0.9 label-studio-tools==0.0.4
	@touch $@

# Label Studio wants other versions of many packages, so it lives on its own, as it would in production.
$(LABEL_STUDIO): constraints-label-studio.txt
	@test -x .venv-label-studio/bin/python || $(PYTHON) -m venv .venv-label-studio
	@echo "installing Label Studio (about a minute, once)"
	@.venv-label-studio/bin/python -m pip install -qq --disable-pip-version-check -c constraints-label-studio.txt label-studio
	@touch $@

label-studio: $(LABEL_STUDIO)

install: $(INSTALLED)

weights: install
	@$(MODEL) weights pull

demo: weights label-studio
	@$(RUN) -m worker demo

demo-once: weights label-studio
	@$(RUN) -m worker demo --once

demo-photos: weights
	@$(MODEL) demo --out demo-out

lint: install
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy --no-error-summary
	@.venv/bin/lint-imports > .stamp-imports || { cat .stamp-imports; exit 1; }

format: install
	@.venv/bin/ruff check --quiet --fix .
	@.venv/bin/ruff format --quiet .

test: lint weights label-studio
	@$(RUN) -m pytest -q

# The blurring tool that the benchmark compares with. Its OpenCV would take the place of the headless one in .venv.
$(DEFACE):
	@$(PYTHON) -m venv .venv-deface
	@.venv-deface/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt deface==1.5.0 onnxruntime

bench: weights $(DEFACE)
	@$(MODEL) bench --deface $(DEFACE)
	@$(RUN) -m worker bench
	@$(RUN) -m backend.admin bench
	@PYTHONPATH=tests:. $(RUN) tests/benchmarks/load.py

# FACES is a folder of photographs with manifest.csv; python -m g2face_model figures --help
figures: weights
	@$(MODEL) figures $(FACES) --rotate --trade-off

# EVALUATE holds the options: EVALUATE= for all photographs of the folder. The same command goes on where it stopped.
evaluate: weights $(DEFACE)
	@test -d $(FACES) || { echo "no photographs in $(FACES); make evaluate FACES=folder"; exit 1; }
	@$(MODEL) evaluate $(FACES) --out evaluation --results docs/results.md $(EVALUATE)

clean:
	rm -rf .venv .venv-deface .venv-label-studio demo-out build .stamp-* .*_cache
