# Everything here needs Go, Node with npm, and make; readers needs Python 3.11 with venv, too, alerts and streams apt-get.

GO      ?= go
NPM_DIR := deploy/embedded/npm
NPM_OK  := $(NPM_DIR)/node_modules/.package-lock.json
PKGS    := ./...

# The engine's npm package of this platform. The lock file pins the one for linux/amd64,
# which is tested; the others are taken by version, because a lock file can only pin
# what the registry had when it was written.
PLATFORM       ?= $(shell node -p 'process.platform + "-" + process.arch + (process.platform == "linux" ? "-gnu" : "")')
ENGINE          = @chdb/lib-$(PLATFORM)
ENGINE_VERSION  = 26.5.3

.PHONY: help setup web browser screenshots build demo demo-web test race lint vuln bench growth dist fuzz sim rules proof alerts streams readers torture generators clean

help: ## Print this.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(NPM_OK) web ## Install the embedded ClickHouse engine and the sample data (npm packages pinned by a lock file), and build the page.

$(NPM_OK): $(NPM_DIR)/package-lock.json
	npm ci --prefix $(NPM_DIR) --no-audit --no-fund --loglevel=error
	@test -d $(NPM_DIR)/node_modules/$(ENGINE) || npm install --prefix $(NPM_DIR) --no-save --force --loglevel=error $(ENGINE)@$(ENGINE_VERSION) || \
		echo "the registry has no $(ENGINE)@$(ENGINE_VERSION): name a libchdb with clickhouse.library, or a ClickHouse server with clickhouse.url"
	@touch $@

WEB     := serving/dashboard/web
WEB_NPM := $(WEB)/node_modules/.package-lock.json
PAGE    := serving/dashboard/dist/page/index.html

$(WEB_NPM): $(WEB)/package-lock.json
	npm ci --prefix $(WEB) --no-audit --no-fund --loglevel=error
	@touch $@

web: $(PAGE) ## Build the page at /, which the program embeds.

$(PAGE): $(WEB_NPM) schemas/openapi/openapi.json $(shell find $(WEB) -maxdepth 1 -type f) $(shell find $(WEB)/src -type f)
	npm run --prefix $(WEB) --silent build
	@touch $@

browser: ## Install the browser in which the page is tested (Debian's chromium).
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

screenshots: setup browser ## Write pictures of every tab of the page into bin/screenshots, and test it.
	RECOUNT_SCREENSHOTS=$(abspath bin/screenshots) $(GO) test ./deploy/proof/e2e -run TestThePage -count=1

build: $(if $(shell command -v npm),web) ## Build bin/recount, with the page if npm is there.
	CGO_ENABLED=0 $(GO) build -buildvcs=auto -trimpath -o bin/recount ./deploy/recount

dist: setup build ## Pack archives, deb and rpm into bin/dist, with licences, SBOM and checksums.
	$(GO) run ./deploy/dist

demo: setup build ## Replay three million real flights; compare live, exact and true counts.
	bin/recount demo $(ARGS)

demo-web: setup build ## Run a small shop that counts itself, and open it beside its counts.
	$(GO) build -o bin/shop ./deploy/proof/shop
	bin/shop bin/recount

test: setup ## Run every test.
	$(GO) test -timeout 30m $(PKGS)
	npm run --prefix $(WEB) --silent test

race: setup ## Run every test under the race detector.
	$(GO) test -timeout 30m -race $(PKGS)

lint: $(WEB_NPM) ## Check formatting, go vet, the linters of .golangci.yaml, the module files and the sources of the page.
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt -w on these'; exit 1; }
	$(GO) vet $(PKGS)
	$(GO) vet -tags failpoints $(PKGS)
	$(GO) tool -modfile=.ci/lint.mod golangci-lint run $(PKGS)
	$(GO) mod verify
	npm run --prefix $(WEB) --silent check

# A number of executions, not a duration: when a duration ends, Go before 1.27 may report
# "context deadline exceeded" as a failure of the target (golang/go#75804).
FUZZTIME ?= 20000x
fuzz: ## Run every fuzz target for FUZZTIME executions (20000x).
	@$(GO) list -f '{{.ImportPath}}' $(PKGS) | while read -r pkg; do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "fuzz $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$pkg >/tmp/recount-fuzz.$$$$ 2>&1 || { cat /tmp/recount-fuzz.$$$$; rm -f /tmp/recount-fuzz.$$$$; exit 1; }; \
			rm -f /tmp/recount-fuzz.$$$$; \
		done; done

vuln: ## Check the modules against the Go vulnerability database (exit code of .ci/vuln: 1 found, 3 could not check).
	@GO=$(GO) .ci/vuln
SEEDS ?= 500
sim: ## Play SEEDS seeds of the simulation of the whole path (500).
	$(GO) test ./deploy/proof/sim -run 'TestSimulation$$' -sim.seeds $(SEEDS) -timeout 60m -v

rules: ## Turn every rule off in the simulation, one after the other; a seed has to notice.
	$(GO) test -tags failpoints ./deploy/proof/sim -run TestEveryRuleIsCaught -timeout 60m

proof: ## Do the same and write the table of deploy/proof/PROOF.md.
	$(GO) test -tags failpoints ./deploy/proof/sim -run TestEveryRuleIsCaught -proof -timeout 60m -v

BENCH    := deploy/proof/bench
BENCH_OK := $(BENCH)/node_modules/.package-lock.json

$(BENCH_OK): $(BENCH)/package-lock.json
	npm ci --prefix $(BENCH) --no-audit --no-fund --loglevel=error
	@touch $@

bench: setup $(BENCH_OK) ## Measure recount beside ClickHouse and DuckDB; ARGS="-h" lists rows and flags.
	$(GO) run ./$(BENCH) $(ARGS)

growth: setup ## Measure how time, memory and files grow; ARGS="-limit 1000000 events" picks an axis and its end.
	$(GO) run ./$(BENCH) -growth $(ARGS)

READERS := bin/readers
$(READERS)/ok: deploy/proof/readers/requirements.txt
	@python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'make readers needs python3, version 3.11 or later, with the module venv (on Debian the packages python3 and python3-venv)'; exit 1; }
	python3 -m venv $(READERS)
	$(READERS)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

readers: setup $(READERS)/ok ## Read the lake of a server with DuckDB, pyarrow, pandas, polars, pyiceberg and chdb.
	RECOUNT_READERS_PYTHON=$(abspath $(READERS)/bin/python) $(GO) test ./deploy/proof/e2e -run TestOtherProgramsReadTheLake -v

bin/promtool:
	@command -v apt-get dpkg-deb >/dev/null || \
		{ echo 'make alerts needs promtool of Prometheus: put it at bin/promtool'; exit 1; }
	mkdir -p bin/prometheus
	cd bin/prometheus && apt-get download prometheus && dpkg-deb -x prometheus_*.deb .
	mv bin/prometheus/usr/bin/promtool $@
	rm -r bin/prometheus

bin/nginx:
	@command -v apt-get dpkg-deb >/dev/null || \
		{ echo 'make streams needs NGINX: put it at bin/nginx'; exit 1; }
	mkdir -p bin/nginx-package
	cd bin/nginx-package && apt-get download nginx && dpkg-deb -x nginx_*.deb .
	mv bin/nginx-package/usr/sbin/nginx $@
	rm -r bin/nginx-package

streams: setup bin/nginx ## Send server-sent events through NGINX.
	RECOUNT_NGINX=$(abspath bin/nginx) $(GO) test ./deploy/proof/e2e -run TestStreamBehindNGINX -count=1 -v

alerts: bin/promtool ## Check the rules and the dashboards with promtool, and run the unit tests of the rules.
	RECOUNT_PROMTOOL=$(abspath bin/promtool) $(GO) test ./deploy/prometheus ./deploy/grafana -count=1 -v

generators: setup ## Generate clients from the OpenAPI document and run them; CLIENTS="ogen redocly" picks some.
	deploy/proof/generators/run.sh $(CLIENTS)

MINUTES ?= 5
SEED    ?= 0
torture: setup ## Break real servers for MINUTES (5) under a client that counts along; SEED repeats a run.
	$(GO) run ./deploy/proof/torture -minutes $(MINUTES) -seed $(SEED)

clean: ## Remove what was built and installed here.
	rm -rf bin $(NPM_DIR)/node_modules $(BENCH)/node_modules $(WEB)/node_modules $(dir $(PAGE))
