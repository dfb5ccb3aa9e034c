# Everything that a developer, an operator who tries protector, or a build machine needs.
# `make help` lists the targets.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO   ?= cargo
PYTHON  ?= python3
VENV    := client/.venv
BIN     := target/debug
# The advisory database is on a host that not every build machine reaches; ask it only where it can be had.
ADVISORY_DB ?= https://github.com/RustSec/advisory-db

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | column -t -s '|'

# --- what the machine needs -------------------------------------------------------------------------------------------

.PHONY: prerequisites
prerequisites: ## Install what building and the demo need: a C compiler, curl
	@missing=""; command -v cc >/dev/null || missing="gcc libc6-dev"; command -v curl >/dev/null || missing="$$missing curl"; \
	 [ -z "$$missing" ] || { apt-get update -q && apt-get install -y -q --no-install-recommends $$missing; }
	@command -v $(CARGO) >/dev/null || { echo "A Rust toolchain (1.94 or later) is needed: see https://rustup.rs" >&2; exit 1; }

.PHONY: tools
tools: prerequisites ## Install what tests and checks need: cargo-nextest, cargo-deny
	@command -v cargo-nextest >/dev/null || $(CARGO) install --locked cargo-nextest
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny

$(VENV)/.installed: client/pyproject.toml
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends python3 python3-venv && $(PYTHON) -m venv $(VENV); }
	$(VENV)/bin/pip install -q --upgrade pip
	$(VENV)/bin/pip install -q -e 'client[test,lint]' python-openstackclient
	@touch $@

.PHONY: client
client: $(VENV)/.installed ## Install the openstack command and its plugin into client/.venv

.PHONY: build
build: prerequisites ## Build all programs
	$(CARGO) build --workspace --locked

# --- checks and tests -------------------------------------------------------------------------------------------------

.PHONY: check
check: tools ## Format, lints, dependency and licence rules, crate boundaries
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) deny --all-features check bans licenses sources
	@if timeout 20 git ls-remote -q $(ADVISORY_DB) HEAD >/dev/null 2>&1; then $(CARGO) deny check advisories; \
	 else echo "advisories: the database cannot be reached from here, not checked"; fi
	bash scripts/check-crate-boundaries.sh
	$(PYTHON) scripts/check-systemd-units.py
	$(PYTHON) scripts/check-file-rings.py
	$(PYTHON) scripts/check-comments.py
	$(PYTHON) scripts/check-words.py
	$(PYTHON) scripts/guards.py --fits
	$(PYTHON) scripts/check-doc-references.py

.PHONY: check-docs
check-docs: ## See that the files, names and headings that documents name are there
	$(PYTHON) scripts/check-doc-references.py

.PHONY: test
test: tools test-services test-client ## All tests

.PHONY: test-services
test-services: tools $(VENV)/.installed
	$(CARGO) nextest run --workspace --locked --no-fail-fast --test-threads $$((3 * $$(nproc)))

.PHONY: schemathesis
schemathesis: build $(VENV)/.installed ## Requests made up from the OpenAPI document (EXAMPLES=50 for more, SEED=7 for the same again)
	scripts/schemathesis.sh

.PHONY: soak
soak: tools ## The long tests: many pairs of faults, 500 VMs with 2,000 volumes on a bad day, a large operation in the database
	$(CARGO) nextest run --workspace --locked --run-ignored only --success-output final -E 'test(/(^|::)soak_/)'

.PHONY: fuzz
fuzz: tools ## Feed what reads other people's bytes with broken ones: SECONDS=60 for each reader, SEED=7 for the same again
	PROTECTOR_FUZZ_SECONDS=$(or $(SECONDS),60) $(if $(SEED),PROTECTOR_SEED=$(SEED)) \
	  $(CARGO) nextest run --workspace --locked --success-output final -E 'test(/(^|::)fuzz_/)'

.PHONY: guards
guards: prerequisites ## Take each guard of the deletions out in turn and show the test that notices
	$(PYTHON) scripts/guards.py

.PHONY: lint-client
lint-client: $(VENV)/.installed ## Lint and type-check the client
	cd client && .venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy protectorclient

.PHONY: test-client
test-client: $(VENV)/.installed
	cd client && .venv/bin/pytest -q

.PHONY: generate
generate: $(VENV)/.installed ## Write the generated files: sample configuration, policy sample, reference, OpenAPI document
	$(CARGO) run -q --bin protector-manage -- config sample > etc/protector.conf.sample
	$(CARGO) run -q --bin protector-manage -- config reference > docs/configuration.md
	$(CARGO) run -q --bin protector-manage -- policy sample > etc/policy.yaml.sample
	$(CARGO) run -q --bin protector-manage -- openapi > docs/openapi.json
	$(CARGO) run -q --bin protector-manage -- carried > docs/what-a-copy-keeps.md
	$(CARGO) run -q --bin protector-manage -- refusals > docs/refusals.md
	cd client && .venv/bin/python -m tools.manpage > man/openstack-dr.1 && .venv/bin/python -m tools.completion > completion/openstack-dr.bash

DOCS_VENV := build/docs-venv
$(DOCS_VENV)/.installed: docs/requirements.txt client/pyproject.toml | $(VENV)/.installed
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/pip install -q -r docs/requirements.txt -e client python-openstackclient
	@touch $@

.PHONY: docs
docs: $(DOCS_VENV)/.installed ## Build the manual into build/docs, with the references of all commands and API calls
	$(DOCS_VENV)/bin/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

# --- the demo: two simulated clouds -----------------------------------------------------------------------------------

.PHONY: demo
demo: build $(VENV)/.installed ## Fail over prod-web-app on two simulated clouds, clean up, show the records
	demo/run.sh

.PHONY: demo-up
demo-up: build $(VENV)/.installed ## Start the demo's clouds and sites and leave them running
	demo/up.sh

.PHONY: demo-down
demo-down: ## Stop them
	demo/down.sh

# --- two real control planes ------------------------------------------------------------------------------------------

.PHONY: testbed-up
testbed-up: ## Install and start two real OpenStack control planes; TESTBED_BACKEND=rbd for two Ceph clusters under them
	testbed/openstack/install.sh
	testbed/openstack/up.sh all

.PHONY: testbed-down
testbed-down: ## Stop them
	testbed/openstack/down.sh all

.PHONY: e2e
e2e: build $(VENV)/.installed ## The story on the real control planes (after testbed-up)
	testbed/e2e/run.sh

.PHONY: e2e-cleanup
e2e-cleanup: build $(VENV)/.installed ## What a cleaner meets, on the real control planes (after testbed-up)
	testbed/e2e/cleanup.sh

.PHONY: e2e-cycles
e2e-cycles: build $(VENV)/.installed ## To the other site and back ten times on the real control planes, CYCLES=n for another number
	testbed/e2e/cycles.sh

.PHONY: e2e-whole-vm
e2e-whole-vm: build $(VENV)/.installed ## A server with everything, over and back, compared with the table of what a copy keeps
	testbed/e2e/whole_vm.sh

.PHONY: e2e-unplanned
e2e-unplanned: build $(VENV)/.installed ## The primary site is lost and comes back, on the real control planes (after testbed-up)
	testbed/e2e/unplanned.sh

.PHONY: e2e-ceph
e2e-ceph: build $(VENV)/.installed ## Moves of volumes on RBD, a lost cluster, nothing left (after testbed-up with TESTBED_BACKEND=rbd); CYCLES=n
	testbed/e2e/ceph.sh

# --- two real Ceph clusters -------------------------------------------------------------------------------------------

.PHONY: ceph-up
ceph-up: ## Install and start two real Ceph clusters that mirror to each other
	testbed/ceph/install.sh
	testbed/ceph/up.sh

.PHONY: ceph-down
ceph-down: ## Stop them
	testbed/ceph/down.sh

.PHONY: e2e-ceph-driver
e2e-ceph-driver: prerequisites ## The stories of the Ceph driver on the real clusters (after ceph-up)
	PROTECTOR_TEST_CEPH="$${CEPHBED_BASE:-$(CURDIR)/.run/ceph}" $(CARGO) test -p protector-ceph-rbd --locked --test real_clusters -- --nocapture

.PHONY: bench
bench: ## 100 VMs with 200 volumes on clouds as slow as real ones
	benches/failover-100-vms.sh

# --- what a build machine runs ----------------------------------------------------------------------------------------

# The demo runs the programs that the tests have built: without the tests' features each crate would be compiled once more.
.PHONY: ci
ci: check lint-client test
	demo/run.sh
