# steembot: try it, test it, install it. `make help` says how.

PREFIX ?= /usr/local
# A folder to put the files in now. The paths below are where they will be found.
DESTDIR ?=
# The system's own Python: the services' users cannot read one that lies in somebody's home.
PYTHON ?= /usr/bin/python3
ARGS ?=
SEEDS ?= 1000

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

COMMANDS := steembot steembot-broadcaster steembot-bot steembot-devnode
UNITS := $(wildcard deploy/systemd/*.target deploy/systemd/*.socket deploy/systemd/*.service)
CATALOGS := $(wildcard deploy/systemd/*.catalog)
SCRIPTS := deploy/build-venv deploy/foreground deploy/system-packages .ci/run

# systemd looks into these two alone, wherever the program itself lies.
SYSTEMD_LIB := $(if $(filter /usr,$(PREFIX)),/usr,/usr/local)/lib
VENV_DIR := $(PREFIX)/lib/steembot
SETTINGS := /etc/steembot/steembot.env
EXAMPLE := $(PREFIX)/share/steembot/steembot.env
BOTS := /etc/steembot/bots

.PHONY: help
help: ## Show this list
	@echo 'make TARGET, where TARGET is one of:'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
	@echo 'Variables: PREFIX=$(PREFIX) DESTDIR= PYTHON=$(PYTHON) ARGS=(for the tests) SEEDS=$(SEEDS)'

##### development

VENV := .venv
READY := $(VENV)/.ready

$(READY): requirements-build.lock requirements-dev.lock pyproject.toml
	@deploy/system-packages $(PYTHON) run
	@echo 'Making $(VENV), which takes a moment'
	@$(PYTHON) -m venv --clear $(VENV)
	@export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
	@$(VENV)/bin/pip install --quiet --require-hashes -r requirements-build.lock
	@$(VENV)/bin/pip install --quiet --no-build-isolation --require-hashes -r requirements-dev.lock
	@$(VENV)/bin/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

.PHONY: demo
demo: $(READY) ## Print links of new posts from a generated chain; Ctrl-C ends it
	@deploy/foreground $(VENV)/bin demo

.PHONY: run
run: $(READY) ## The same from a real chain, with the settings of .env
	@deploy/foreground $(VENV)/bin run

.PHONY: test
test: $(READY) ## Run all tests; as root also those that boot a systemd (ARGS="-k journal")
	@deploy/system-packages $(PYTHON) test
	@$(VENV)/bin/pytest $(ARGS)

.PHONY: chaos
chaos: $(READY) ## Simulate SEEDS swarms in memory, then kill real processes (SEEDS=1000)
	@$(VENV)/bin/python -m tests.chaos.simulation 1 $(SEEDS)
	@$(VENV)/bin/python -m tests.chaos.processes $(SEEDS) 300

.PHONY: lint
lint: $(READY) ## Check style and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); \
	else echo 'shellcheck is not installed: shell scripts were not checked'; fi

.PHONY: format
format: $(READY) ## Mend what lint can mend by itself
	@$(VENV)/bin/ruff check --fix --quiet . || true
	@$(VENV)/bin/ruff format .

# Versions for the oldest Python that we support, on Linux; the hashes cover the wheels of every
# architecture and the sources.
COMPILE := $(VENV)/bin/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url \
	--python-version 3.11 --python-platform linux --custom-compile-command 'make lock'

.PHONY: lock
lock: $(READY) ## Choose the newest allowed version of every requirement
	@$(VENV)/bin/pip install --quiet uv
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) pyproject.toml --group dev --constraint requirements.lock -o requirements-dev.lock
	@printf '%s\n' 'setuptools>=75' wheel | $(COMPILE) - -o requirements-build.lock

##### installation

.PHONY: install
install: ## Install for systemd, as root (PREFIX=/usr/local DESTDIR=)
ifeq ($(DESTDIR),)
	@[[ $$EUID == 0 ]] || { echo 'make install needs root: sudo make install' >&2; exit 1; }
endif
	@deploy/system-packages $(PYTHON) $(if $(DESTDIR),run,install)
	@umask 022; \
	rm -rf '$(DESTDIR)$(VENV_DIR)'.{new,old}; \
	mkdir -p '$(DESTDIR)$(PREFIX)'/{bin,lib}; \
	deploy/build-venv $(PYTHON) . '$(VENV_DIR)' '$(DESTDIR)$(VENV_DIR).new'; \
	if [[ -e '$(DESTDIR)$(VENV_DIR)' ]]; then mv '$(DESTDIR)$(VENV_DIR)'{,.old}; fi; \
	mv '$(DESTDIR)$(VENV_DIR)'{.new,}; \
	rm -rf '$(DESTDIR)$(VENV_DIR).old'
	@for command in $(COMMANDS); do \
		ln -sfn ../lib/steembot/bin/$$command '$(DESTDIR)$(PREFIX)/bin/'; \
	done
	@install -d '$(DESTDIR)$(SYSTEMD_LIB)/systemd/system'
	@for unit in $(UNITS); do \
		sed 's|@PREFIX@|$(PREFIX)|g' $$unit \
		| install -m 644 /dev/stdin "$(DESTDIR)$(SYSTEMD_LIB)/systemd/system/$${unit##*/}"; \
	done
	@install -D -m 644 deploy/systemd/steembot.sysusers '$(DESTDIR)$(SYSTEMD_LIB)/sysusers.d/steembot.conf'
	@install -D -m 644 deploy/systemd/steembot.tmpfiles '$(DESTDIR)$(SYSTEMD_LIB)/tmpfiles.d/steembot.conf'
ifneq ($(CATALOGS),)
	@install -D -m 644 -t '$(DESTDIR)$(SYSTEMD_LIB)/systemd/catalog' $(CATALOGS)
endif
ifeq ($(DESTDIR),)
	@systemd-sysusers $(SYSTEMD_LIB)/sysusers.d/steembot.conf
	@systemd-tmpfiles --create $(SYSTEMD_LIB)/tmpfiles.d/steembot.conf
	$(if $(CATALOGS),@journalctl --update-catalog)
endif
	@install -d -m 755 '$(DESTDIR)$(dir $(SETTINGS))' '$(DESTDIR)$(BOTS)'
	@# A settings file that nobody has edited is the last installation's example.
	@if [[ ! -e '$(DESTDIR)$(SETTINGS)' ]] || cmp -s '$(DESTDIR)'{'$(SETTINGS)','$(EXAMPLE)'}; then \
		install -m 640 $(if $(DESTDIR),,-g steembot) deploy/systemd/steembot.env '$(DESTDIR)$(SETTINGS)'; \
	fi
	@install -D -m 644 deploy/systemd/steembot.env '$(DESTDIR)$(EXAMPLE)'
	@install -m 644 deploy/systemd/bot.env '$(DESTDIR)$(dir $(EXAMPLE))'
ifeq ($(DESTDIR),)
	@if [[ -d /run/systemd/system ]]; then systemctl daemon-reload; fi
	@echo 'Installed. Settings: $(SETTINGS)'
	@if systemctl --quiet is-active steembot.target 2>/dev/null; then \
		echo 'The old version is still running. Next: systemctl restart steembot.target'; \
	else \
		echo 'Next: systemctl start steembot.target (and at every boot: systemctl enable steembot.target)'; \
	fi
endif

.PHONY: uninstall
uninstall: ## Stop and remove all but settings and state (/etc/steembot, /var/lib/steembot*)
ifeq ($(DESTDIR),)
	@[[ $$EUID == 0 ]] || { echo 'make uninstall needs root: sudo make uninstall' >&2; exit 1; }
	@if [[ -d /run/systemd/system && -e $(SYSTEMD_LIB)/systemd/system/steembot.target ]]; then \
		systemctl --quiet disable --now steembot.target; \
		systemctl --quiet disable steembot-bot@.service; \
		systemctl --quiet stop 'steembot-bot@*.service'; \
	fi
	@rm -rf /run/steembot
endif
	@rm -rf '$(DESTDIR)$(VENV_DIR)' '$(DESTDIR)$(dir $(EXAMPLE))'
	@rm -f $(COMMANDS:%='$(DESTDIR)$(PREFIX)/bin/%') \
		$(UNITS:deploy/systemd/%='$(DESTDIR)$(SYSTEMD_LIB)/systemd/system/%') \
		$(CATALOGS:deploy/systemd/%='$(DESTDIR)$(SYSTEMD_LIB)/systemd/catalog/%') \
		'$(DESTDIR)$(SYSTEMD_LIB)'/{sysusers,tmpfiles}.d/steembot.conf
ifeq ($(DESTDIR),)
	$(if $(CATALOGS),@journalctl --update-catalog)
	@if [[ -d /run/systemd/system ]]; then systemctl daemon-reload; fi
	@echo 'Removed. Left for you: /etc/steembot, /var/lib/steembot-*, and the users in group steembot'
endif
