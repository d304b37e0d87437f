# The two commands that matter: `make demo` and `make test`. `make` alone lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEVSTACK := $(BIN)/python -m order_devstack
STAMP := $(VENV)/.installed
PROCESSES ?= 4
# A file's tests stay in one process: many share a stack. What lasts long are single tests: any process takes the next.
IN_PROCESSES := $(if $(filter-out 1,$(PROCESSES)),-n $(PROCESSES) --dist)
BY_FILE := $(if $(IN_PROCESSES),$(IN_PROCESSES) loadfile --no-loadscope-reorder)
BY_TEST := $(if $(IN_PROCESSES),$(IN_PROCESSES) worksteal)
SHORT := -m "not long and not mutations and not cluster and not browser"

.DEFAULT_GOAL := help
.PHONY: help setup up ui down status clean demo scenario cluster-tools cluster-up cluster-status cluster-down images \
	test test-long test-mutations test-unit test-replay test-contract test-stateful test-workflow test-integration \
	test-browser test-cluster test-matrix \
	bench bench-at-rest bench-ledger bench-encryption bench-burst bench-fairness bench-console contrast check fmt lint types imports collect \
	generate check-generated docs version release publish audit lock

help: ## List the commands.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run
demo: setup ## Real orders on a real stack, each to its end: needs Go and, the first time, a quarter of an hour. KEEP=1 leaves the stack up.
	@$(BIN)/python -m order_devstack demo $(if $(KEEP),--keep)

scenario: setup ## List the demonstrations of the reference systems. NAME=name plays one on the running stack.
	@$(DEVSTACK) scenario $(NAME)

up: setup ## Start the whole stack in the background; a second time, start what has died. ENCRYPTION=true.
	@$(DEVSTACK) up $(if $(ENCRYPTION),--encrypt)

ui: up ## The console in front of the running stack, with your rights. Prints a link; Ctrl-C ends it.
	@. .devstack/env && $(BIN)/order-console

status: setup ## What runs, and where.
	@$(DEVSTACK) status

down: setup ## Stop the stack; its data stays.
	@$(DEVSTACK) down

clean: setup ## Stop the stack and delete its data.
	@$(DEVSTACK) clean

##@ A whole cluster
cluster-tools: setup ## Install what a node and the images need from Debian: containerd, runc, buildah, … Needs root.
	@$(DEVSTACK) cluster tools

cluster-up: setup images ## A Kubernetes of one node with pods, Temporal and PostgreSQL on this machine. Needs root.
	@$(DEVSTACK) cluster up dist/images/operator.tar dist/images/worker.tar dist/images/console.tar

cluster-status: setup ## Whether it runs, and how to reach it.
	@$(DEVSTACK) cluster status

cluster-down: setup ## Stop it. Nothing is left but its logs.
	@$(DEVSTACK) cluster down

images: setup ## Build the images of operator, worker and console into dist/images, without a container engine. Needs root.
	@$(DEVSTACK) images

##@ Test
test: setup ## Every level, on real servers, in four processes. A quarter of an hour; PROCESSES=1 for one process.
	@$(DEVSTACK) obtain
	@$(BIN)/pytest $(BY_FILE) --durations=40 --durations-min=10 $(SHORT)

test-long: setup ## What takes long: many random steps on both databases, a pooler, a failover, faults around the operator. Half an hour.
	@$(DEVSTACK) obtain
	@$(BIN)/pytest $(BY_TEST) -m long

test-mutations: setup ## Take each guard away in turn and see a test fail. By hand, before a release. NAME=name for one.
	@$(DEVSTACK) obtain
	@$(BIN)/python tests/mutations/run_mutations.py --processes $(PROCESSES) $(NAME)
	@$(if $(NAME),,$(BIN)/pytest $(BY_TEST) -m mutations)

test-unit: setup ## Pure functions and single parts. No server, seconds.
	@$(BIN)/pytest $(SHORT) tests/unit

test-replay: setup ## Recorded histories against today's workflow. No server, seconds.
	@$(BIN)/pytest $(SHORT) tests/replay

test-contract: setup ## Ledger, providers, charts, generated files: what both sides of a seam rely on. Minutes.
	@$(DEVSTACK) obtain
	@$(BIN)/pytest $(SHORT) tests/contract tests/faults tests/mutations

test-stateful: setup ## Ten thousand random steps against the ledger's invariants. A minute.
	@$(BIN)/pytest $(SHORT) tests/stateful

test-workflow: setup ## The workflow on a real Temporal server, the outside world scripted. Minutes.
	@$(DEVSTACK) obtain
	@$(BIN)/pytest $(SHORT) tests/workflow

test-integration: setup ## Operator, worker, Temporal and API server together. Minutes.
	@$(DEVSTACK) obtain
	@$(BIN)/pytest $(SHORT) tests/integration

test-browser: setup ## The console's page in a real browser, on a real stack. Minutes; installs Chromium where this is root on Debian.
	@$(DEVSTACK) obtain
	@command -v chromium >/dev/null || apt-get -q -y install --no-install-recommends chromium
	@$(BIN)/pytest -m browser tests/browser

test-cluster: setup images ## The charts on a whole node: pods that are scaled, killed and drained while orders run. Needs root.
	@$(DEVSTACK) obtain --cluster
	@$(BIN)/pytest -m "cluster and not keda" tests/cluster

test-matrix: setup ## Other versions of Kubernetes, Temporal and Helm that are supported. By hand, before a release. NAME=name for one.
	@$(BIN)/python -m order_devstack.matrix $(NAME)

bench: setup ## Orders end to end against the same workflow driven by a bare Temporal client. ORDERS=n, ROUNDS=n.
	@$(BIN)/python benchmarks/end_to_end.py $(if $(ORDERS),--orders $(ORDERS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-at-rest: setup ## What finished orders cost an idle operator. ORDERS=n finished, LIVE=n waiting. Ten minutes for 10,000.
	@$(BIN)/python benchmarks/at_rest.py $(if $(ORDERS),--orders $(ORDERS)) $(if $(LIVE),--live $(LIVE))

bench-ledger: setup ## What the ledger's transactions cost on SQLite and PostgreSQL. ORDERS=n. Half a minute.
	@$(BIN)/python benchmarks/ledger.py $(if $(ORDERS),--orders $(ORDERS))

bench-encryption: setup ## Orders end to end with encrypted payloads against the same without. ORDERS=n, ROUNDS=n. Minutes.
	@$(BIN)/python benchmarks/encryption.py $(if $(ORDERS),--orders $(ORDERS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-burst: setup ## How many tasks time out when 200 orders arrive at once at one worker. ORDERS=n. A minute.
	@$(BIN)/python benchmarks/burst.py $(if $(ORDERS),--orders $(ORDERS))

bench-fairness: setup ## How long an order waits while 1,000 are applied at once in another namespace. ORDERS=n. Three minutes.
	@$(BIN)/python benchmarks/fairness.py $(if $(ORDERS),--orders $(ORDERS))

bench-console: setup ## What the console costs while 50 people watch 1,000 orders, and how soon they see things. Five minutes.
	@$(BIN)/python benchmarks/console_alone.py $(if $(ORDERS),--orders $(ORDERS)) $(if $(VIEWERS),--viewers $(VIEWERS))
	@$(BIN)/python benchmarks/console.py $(if $(ORDERS),--orders $(ORDERS)) $(if $(VIEWERS),--viewers $(VIEWERS))

contrast: setup ## The same steps and failures without durable execution: how many orders break, and how. Seconds.
	@$(BIN)/python benchmarks/without_durable_execution.py $(if $(ORDERS),--orders $(ORDERS))

##@ Develop
setup: $(STAMP) ## Create .venv with every dependency, pinned by hash.

check: lint types imports check-generated docs collect ## Everything that needs no server; what CI runs first.

fmt: setup ## Format the code.
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check -q --fix .

lint: setup ## Style and common mistakes.
	@$(BIN)/ruff check --output-format concise .
	@$(BIN)/ruff format --check -q .

types: setup ## mypy, strict.
	@$(BIN)/mypy

imports: setup ## Who may import whom.
	@$(BIN)/lint-imports

generate: setup ## Write the CRDs, the charts' copies of generated files, the dashboards, docs/reference and docs/settings.md.
	@$(BIN)/python -m order_operator.crd
	@$(BIN)/python -m order_devstack.dashboards
	@$(BIN)/python -m order_devstack.reference

check-generated: setup ## Fail if `make generate` would change a file.
	@$(BIN)/python -m order_operator.crd --check
	@$(BIN)/python -m order_devstack.dashboards --check
	@$(BIN)/python -m order_devstack.reference --check

collect: setup ## Read every test and run none: a module that cannot be imported fails here, not after a quarter of an hour.
	@said=$$($(BIN)/pytest --collect-only -qq 2>&1) || { echo "$$said"; exit 1; }

docs: setup ## Build the documentation's site into site/; a link that leads nowhere fails it.
	@$(BIN)/mkdocs build --strict

version: setup ## Write VERSION=1.2.3 into pyproject.toml, the charts and the changelog.
	@$(BIN)/python -m order_devstack.release set $(VERSION)

release: setup ## Build what is published of VERSION=1.2.3, as committed, into dist/. The same each time. UNAUDITED=true.
	@$(BIN)/python -m order_devstack.release build $(VERSION) $(if $(UNAUDITED),--unaudited)

audit: setup ## Look every pinned dependency of the programs up in a list of advisories. Asks the network.
	@$(BIN)/python -m order_devstack.release audit

publish: setup ## Hand dist/ of VERSION=1.2.3 to REGISTRY=host/path, and to INDEX=url by twine. DRY_RUN=1 only says how.
	@$(BIN)/python -m order_devstack.release publish $(VERSION) --registry "$(REGISTRY)" --index "$(INDEX)" \
		$(if $(DRY_RUN),--dry-run)

lock: ## Pin every dependency anew from pyproject.toml; needs uv.
	@for extra in operator worker console; do \
		uv pip compile -q --universal --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
			--extra $$extra -o requirements/$$extra.txt pyproject.toml; done
	@uv pip compile -q --universal --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		--group build -o requirements/build.txt
	@uv pip compile -q --universal --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		--extra operator --extra worker --extra console --group dev -o requirements/dev.txt pyproject.toml

$(STAMP): requirements/dev.txt pyproject.toml cli/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("order-platform needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "installing the Python dependencies into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . -e ./cli
	@touch $@
