# steembot: try it, test it, install it. `make help` says how.

PREFIX ?= /usr/local
# A folder to put the files in now. The paths below are where they will be found.
DESTDIR ?=
# Where make deb puts the package.
OUTPUT ?= build
# The system's own Python: the services' users cannot read one that lies in somebody's home.
PYTHON ?= /usr/bin/python3
ARGS ?=
SEEDS ?= 1000
# Processes that share the tests; most of what they do is wait.
JOBS ?= 3

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

COMMANDS := steembot steembot-broadcaster steembot-bot steembot-devnode
UNITS := $(wildcard deploy/systemd/*.target deploy/systemd/*.socket deploy/systemd/*.service)
CATALOGS := $(wildcard deploy/systemd/*.catalog)
SCRIPTS := $(addprefix deploy/,build-deb build-venv build-wheels completions foreground system-packages unit) \
	$(wildcard deploy/deb/*) tests/system/boot .ci/run

# Wheels that `make wheels` made, so that no installation from them needs the network.
WHEELS ?=

# For the whole system, or for the user who runs make and that user's own systemd.
SCOPE := system
ifeq ($(SCOPE),user)
PREFIX := $(HOME)/.local
SYSTEMCTL := systemctl --user
UNIT_DIR := $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/systemd/user
CONFIG := $(or $(XDG_CONFIG_HOME),$(HOME)/.config)
ETC_UNITS := $(CONFIG)/systemd/user
LEFT := $(CONFIG)/steembot and the state
else
SYSTEMCTL := systemctl
# systemd looks into these two alone, wherever the program itself lies.
SYSTEMD_LIB := $(if $(filter /usr,$(PREFIX)),/usr,/usr/local)/lib
UNIT_DIR := $(SYSTEMD_LIB)/systemd/system
CONFIG := /etc
ETC_UNITS := /etc/systemd/system
LEFT := /etc/steembot, /var/lib/steembot-*, and the users in group steembot
endif
SETTINGS := $(CONFIG)/steembot/steembot.env
# What no bot may read.
SECRETS := $(CONFIG)/steembot/broadcaster.env
VENV_DIR := $(PREFIX)/lib/steembot
SHARE := $(PREFIX)/share
EXAMPLE := $(SHARE)/steembot/steembot.env
DOC := $(SHARE)/doc/steembot
BOTS := $(CONFIG)/steembot/bots
# Where a user's systemd puts state: up to version 253 beside the settings, then apart.
USER_STATE := $(foreach folder,$(HOME)/.config $(HOME)/.local/state,'$(folder)'/steembot-{broadcaster,bot}{,-*})
# Those that sysusers made.
USERS := $(shell awk '$$1 == "u" { print $$2 }' deploy/systemd/steembot.sysusers)
# What an installation makes where a new machine has none, inner ones first.
FOLDERS := $(addprefix $(SHARE)/,bash-completion/completions bash-completion zsh/site-functions zsh \
	fish/vendor_completions.d fish man/man1 man/man8 doc) \
	$(UNIT_DIR) $(if $(filter system,$(SCOPE)),$(addprefix $(SYSTEMD_LIB)/,systemd/catalog systemd sysusers.d tmpfiles.d))
# Is there a systemd to be told? (Not in a chroot, nor while an image is built.)
RUNNING := $(if $(filter user,$(SCOPE)),[[ -S $${XDG_RUNTIME_DIR-}/systemd/private ]],[[ -d /run/systemd/system ]])

.PHONY: help
help: ## Show this list
	@echo 'make TARGET, where TARGET is one of:'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo 'Variables: PREFIX=$(PREFIX) DESTDIR= PYTHON=$(PYTHON) ARGS=(for the tests) SEEDS=$(SEEDS)'

##### development

VENV := .venv
READY := $(VENV)/.ready

$(READY): requirements-build.lock requirements-dev.lock pyproject.toml
	@deploy/system-packages $(PYTHON) run
	@echo 'Making $(VENV), which takes a moment'
	@$(PYTHON) -m venv --clear $(VENV)
	@echo 'Installing what it needs (1 of 2: build tools and libraries)'
	@export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
	@$(VENV)/bin/pip install --quiet --require-hashes -r requirements-build.lock
	@$(VENV)/bin/pip install --quiet --no-build-isolation --require-hashes -r requirements-dev.lock
	@echo 'Installing steembot itself (2 of 2)'
	@$(VENV)/bin/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

.PHONY: demo
demo: $(READY) ## Print links of new posts from a generated chain; Ctrl-C ends it
	@deploy/foreground $(VENV)/bin demo

.PHONY: run
run: $(READY) ## The same from a real chain, with the settings of .env
	@deploy/foreground $(VENV)/bin run

.PHONY: test
test: $(READY) ## Run all tests; as root also those that boot a systemd (ARGS="-k journal" JOBS=3)
	@deploy/system-packages $(PYTHON) test
	@$(VENV)/bin/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: chaos
chaos: $(READY) ## Simulate SEEDS swarms in memory, then kill real processes (SEEDS=1000)
	@$(VENV)/bin/python -m tests.chaos.simulation 1 $(SEEDS)
	@$(VENV)/bin/python -m tests.chaos.processes $(SEEDS) 300

BENCH := bench/.venv
BENCH_READY := $(BENCH)/.ready
# What to measure: catchup, feed and so on; empty for all.
ONLY ?=

$(BENCH_READY): requirements-build.lock bench/requirements.lock bench/package-lock.json pyproject.toml
	@deploy/system-packages $(PYTHON) bench
	@echo 'Making $(BENCH) and bench/node_modules, which takes a moment'
	@$(PYTHON) -m venv --clear $(BENCH)
	@$(BENCH)/bin/pip install --quiet --require-hashes -r requirements-build.lock
	@$(BENCH)/bin/pip install --quiet --no-build-isolation --require-hashes -r bench/requirements.lock
	@$(BENCH)/bin/pip install --quiet --no-build-isolation --no-deps --editable .
	@# Of the peers' installation scripts none is needed: all have a way in plain JavaScript.
	@cd bench && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: bench
bench: $(BENCH_READY) ## Measure beside the peers; writes bench/README.md (ONLY="feed latency")
	@$(BENCH)/bin/python -m bench $(ONLY)

.PHONY: lint
lint: $(READY) ## Check style and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy deploy/manual.py
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
	@$(VENV)/bin/pip install --quiet --require-hashes -r requirements-uv.lock
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) pyproject.toml --group dev --constraint requirements.lock -o requirements-dev.lock
	@$(COMPILE) pyproject.toml --group bench --constraint requirements.lock -o bench/requirements.lock
	@printf '%s\n' 'setuptools>=75' wheel | $(COMPILE) - -o requirements-build.lock
	@# The next time this one chooses; its own version is pinned like any other.
	@echo 'uv>=0.5' | $(COMPILE) - -o requirements-uv.lock

##### installation

.PHONY: wheels
wheels: ## Bring what an installation needs, for one without network (WHEELS=folder)
	@[[ -n '$(WHEELS)' ]] || { echo 'Where to? make wheels WHEELS=folder' >&2; exit 1; }
	@deploy/system-packages $(PYTHON) run
	@deploy/build-wheels $(PYTHON) . '$(WHEELS)'

.PHONY: install
install: ## Install for systemd, as root (PREFIX=/usr/local DESTDIR= WHEELS=)
ifeq ($(DESTDIR)$(SCOPE),system)
	@[[ $$EUID == 0 ]] || { echo 'make install needs root: sudo make install' >&2; exit 1; }
endif
	@deploy/system-packages $(PYTHON) $(if $(DESTDIR),run,install)
	@umask 022; \
	rm -rf '$(DESTDIR)$(VENV_DIR)'.{new,old}; \
	mkdir -p '$(DESTDIR)$(PREFIX)'/{bin,lib}; \
	deploy/build-venv $(PYTHON) . '$(VENV_DIR)' '$(DESTDIR)$(VENV_DIR).new' '$(WHEELS)'; \
	if [[ -e '$(DESTDIR)$(VENV_DIR)' ]]; then mv '$(DESTDIR)$(VENV_DIR)'{,.old}; fi; \
	mv '$(DESTDIR)$(VENV_DIR)'{.new,}; \
	rm -rf '$(DESTDIR)$(VENV_DIR).old'
	@for command in $(COMMANDS); do \
		ln -sfn ../lib/steembot/bin/$$command '$(DESTDIR)$(PREFIX)/bin/'; \
	done
	@echo 'Installing commands, manual pages, units and settings'
	@umask 022; '$(DESTDIR)$(VENV_DIR)/bin/python' deploy/manual.py '$(DESTDIR)$(SHARE)/man'
	@umask 022; deploy/completions '$(DESTDIR)$(VENV_DIR)/bin/python' '$(DESTDIR)$(SHARE)'
	@install -d '$(DESTDIR)$(UNIT_DIR)'
	@for unit in $(UNITS); do \
		into='$(DESTDIR)$(UNIT_DIR)'/"$${unit##*/}"; \
		rm -f "$$into"; \
		(umask 022; deploy/unit '$(PREFIX)' $(SCOPE) $$unit >"$$into"); \
	done
ifeq ($(SCOPE),system)
	@install -D -m 644 deploy/systemd/steembot.sysusers '$(DESTDIR)$(SYSTEMD_LIB)/sysusers.d/steembot.conf'
	@install -D -m 644 deploy/systemd/steembot.tmpfiles '$(DESTDIR)$(SYSTEMD_LIB)/tmpfiles.d/steembot.conf'
ifneq ($(CATALOGS),)
	@install -D -m 644 -t '$(DESTDIR)$(SYSTEMD_LIB)/systemd/catalog' $(CATALOGS)
endif
ifeq ($(DESTDIR),)
	@systemd-sysusers $(SYSTEMD_LIB)/sysusers.d/steembot.conf
	@# What an older version published, in a folder that processes shared.
	@rm -f /run/steembot/metrics/*.prom
	@systemd-tmpfiles --create $(SYSTEMD_LIB)/tmpfiles.d/steembot.conf
	$(if $(CATALOGS),@journalctl --update-catalog)
endif
endif
	@install -d -m 755 '$(DESTDIR)$(dir $(SETTINGS))' '$(DESTDIR)$(BOTS)'
	@# A settings file that nobody has edited is the last installation's example.
	@if [[ ! -e '$(DESTDIR)$(SETTINGS)' ]] || cmp -s '$(DESTDIR)'{'$(SETTINGS)','$(EXAMPLE)'}; then \
		install -m 640 $(if $(DESTDIR)$(filter user,$(SCOPE)),,-g steembot) \
			deploy/systemd/steembot.env '$(DESTDIR)$(SETTINGS)'; \
	fi
	@# Of one user's processes each can read what the others can.
	@if [[ $(SCOPE) == system && ! -e '$(DESTDIR)$(SECRETS)' ]]; then \
		install -m 640 $(if $(DESTDIR),,-g steembot-broadcaster) \
			deploy/systemd/broadcaster.env '$(DESTDIR)$(SECRETS)'; \
	fi
	@install -D -m 644 deploy/systemd/steembot.env '$(DESTDIR)$(EXAMPLE)'
	@install -m 644 deploy/grafana/steembot.json '$(DESTDIR)$(dir $(EXAMPLE))grafana-dashboard.json'
	@rm -f '$(DESTDIR)$(dir $(EXAMPLE))bot-network.conf'
	@umask 022; deploy/unit '$(PREFIX)' system deploy/bot-network.conf \
		>'$(DESTDIR)$(dir $(EXAMPLE))bot-network.conf'
	@# Laid out as here, so that their links lead somewhere.
	@install -d '$(DESTDIR)$(DOC)/docs'
	@install -m 644 -t '$(DESTDIR)$(DOC)' README.md CHANGELOG.md SECURITY.md
	@install -m 644 -t '$(DESTDIR)$(DOC)/docs' $(wildcard docs/*.md)
ifeq ($(DESTDIR),)
	@if $(RUNNING); then $(SYSTEMCTL) daemon-reload; fi
	@echo 'Installed. Settings: $(SETTINGS)'
	@if $(RUNNING) && $(SYSTEMCTL) --quiet is-active steembot.target 2>/dev/null; then \
		echo 'The old version is still running. Next: $(SYSTEMCTL) restart steembot.target'; \
	else \
		echo 'Next: $(SYSTEMCTL) start steembot.target (and at every boot: $(SYSTEMCTL) enable steembot.target)'; \
	fi
endif

.PHONY: uninstall
uninstall: ## Stop and remove all but settings and state (/etc/steembot, /var/lib/steembot*)
ifeq ($(DESTDIR),)
ifeq ($(SCOPE),system)
	@[[ $$EUID == 0 ]] || { echo 'make uninstall needs root: sudo make uninstall' >&2; exit 1; }
endif
	@if $(RUNNING) && [[ -e '$(UNIT_DIR)/steembot.target' ]]; then \
		$(SYSTEMCTL) --quiet disable --now steembot.target; \
		$(SYSTEMCTL) --quiet stop $(foreach unit,$(notdir $(UNITS)),'$(subst @.,@*.,$(unit))'); \
	fi
	@# Also links of a bot's own instance, which lead nowhere from now on.
	@rm -f $(foreach unit,$(notdir $(UNITS)),'$(ETC_UNITS)'/*.{wants,requires,upholds}/$(subst @.,@*.,$(unit)))
	$(if $(filter system,$(SCOPE)),@rm -rf /run/steembot)
endif
	@rm -rf '$(DESTDIR)$(VENV_DIR)' '$(DESTDIR)$(dir $(EXAMPLE))' '$(DESTDIR)$(DOC)'
	@rm -f $(COMMANDS:%='$(DESTDIR)$(PREFIX)/bin/%') \
		'$(DESTDIR)$(SHARE)'/man/man[18]/steembot{,-*}.[18] \
		'$(DESTDIR)$(SHARE)'/bash-completion/completions/steembot \
		'$(DESTDIR)$(SHARE)'/zsh/site-functions/_steembot \
		'$(DESTDIR)$(SHARE)'/fish/vendor_completions.d/steembot.fish \
		$(UNITS:deploy/systemd/%='$(DESTDIR)$(UNIT_DIR)/%')
ifeq ($(SCOPE),system)
	@rm -f $(CATALOGS:deploy/systemd/%='$(DESTDIR)$(SYSTEMD_LIB)/systemd/catalog/%') \
		'$(DESTDIR)$(SYSTEMD_LIB)'/{sysusers,tmpfiles}.d/steembot.conf
endif
	@# Folders that were there for these files alone. (With DESTDIR there may be no such folder.)
	@rmdir --ignore-fail-on-non-empty $(FOLDERS:%='$(DESTDIR)%') 2>/dev/null || true
ifeq ($(DESTDIR),)
	$(if $(filter system,$(SCOPE)),$(if $(CATALOGS),@journalctl --update-catalog))
	@if $(RUNNING); then $(SYSTEMCTL) daemon-reload; fi
	@echo 'Removed. Left for you: $(LEFT)'
endif

.PHONY: purge
purge: uninstall ## The same, and remove settings, state, users and group too
ifeq ($(SCOPE),system)
	@rm -rf /etc/steembot /var/lib/steembot{,-*} /var/lib/private/steembot* '$(ETC_UNITS)'/steembot*.d
	@for user in $(USERS); do \
		if id -u $$user >/dev/null 2>&1; then userdel $$user; fi; \
	done
	@if getent group steembot >/dev/null; then groupdel steembot; fi
else
	@rm -rf '$(dir $(SETTINGS))' '$(ETC_UNITS)'/steembot*.d $(USER_STATE)
endif
	@echo 'Those are removed as well.'

.PHONY: install-user
install-user: ## Install for yourself and your own systemd, without root, below ~/.local
	@[[ $$EUID != 0 ]] || { echo 'make install-user is for a user; as root: make install' >&2; exit 1; }
	@$(MAKE) --no-print-directory install SCOPE=user DESTDIR=

.PHONY: uninstall-user
uninstall-user: ## Remove that, but for settings and state
	@$(MAKE) --no-print-directory uninstall SCOPE=user DESTDIR=

.PHONY: purge-user
purge-user: ## Remove those too
	@$(MAKE) --no-print-directory purge SCOPE=user DESTDIR=

.PHONY: deb
deb: ## Make a Debian package in build/ (WHEELS= OUTPUT=)
	@deploy/system-packages $(PYTHON) deb
	@deploy/build-deb $(PYTHON) '$(OUTPUT)' '$(WHEELS)'
