# make build      bin/baton
# make demo       a crash and a switchover, shown on a lab (FLAVOR=mysql: of MySQL)
# make test       everything that must pass before a change goes in
# make test-all   the same again and again, and all faults many times
# make sim        whole clusters under random faults in virtual time: SEEDS=1000 FROM=0
# make bench      outages as clients see them, next to keepalived

GO       ?= go
BIN      := bin/baton
BUILD    := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w'
PACKAGES := ./...

# Pinned, and built from source like everything else.
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Packages where goroutines meet.
RACE := ./internal/agent/... ./internal/api/... ./internal/bfd/... ./internal/cli/... ./internal/dnsserver/... ./internal/lab/load/... \
	./internal/peer/... ./internal/probe/... ./internal/proc/... ./internal/realtime/... ./internal/store/... ./internal/timeline/...

# Packages whose tests only calculate: nothing disturbs them, and they wait for nothing.
PURE      := ./internal/core/... ./internal/sim/...
PURE_RACE := ./internal/config/...

# Of all others one test binary runs after the other: servers and timers of two would
# disturb each other. The next one is compiled and linked meanwhile, and gives way. What
# go prints as a package's time contains its wait for the one before, and so does the time
# after which go kills it, a minute after -timeout: that is enough for two slow ones. They
# are not vetted once more: make lint does that, and more thoroughly.
ALONE := -p 2 -vet=off -timeout 8m -toolexec 'nice -n 10' -exec 'flock -o $(CURDIR)'

E2E      := ./internal/lab/e2e/
NOT_E2E   = $$($(GO) list $(PACKAGES) | grep -v /internal/lab/e2e$$)
# GoBGP writes variables of its package whenever a speaker starts. An agent has one, the
# tests of that package have several in one process.
RACED     = $$($(GO) list $(PACKAGES) | grep -v -e /internal/lab/e2e$$ -e /internal/endpoint/bgp$$)

# What servers the demo and the benchmarks are about: mariadb or mysql.
FLAVOR ?= mariadb

# How often `make test-all` tries what `make test` tries once.
REPEAT ?= 10
RUNS   ?= 10
FAULTS ?= crash power link freeze agent-kill agent-freeze partition partition-nodes partition-split switchover store-leader

# Of the simulator: how many seeds, beginning with which.
SEEDS  ?= 1000
FROM   ?= 0

.PHONY: all build build-all arm64 setup demo lint unit race e2e pure calculated tested test test-all sim sim-mutants bench bench-keepalived clean

all: build

build:
	$(BUILD) -o $(BIN) ./cmd/baton

build-all:
	GOOS=linux GOARCH=amd64 $(BUILD) -o dist/baton-linux-amd64 ./cmd/baton
	GOOS=linux GOARCH=arm64 $(BUILD) -o dist/baton-linux-arm64 ./cmd/baton

# Only whether it can be built: a minute and a half the first time, then nothing.
arm64:
	GOOS=linux GOARCH=arm64 $(BUILD) -o /dev/null ./cmd/baton

demo:
	scripts/setup.sh demo $(FLAVOR)
	$(MAKE) --no-print-directory build
	$(BIN) lab demo --name demo --flavor $(FLAVOR)

lint:
	@bad=$$(gofmt -l cmd internal client 2>/dev/null); if [ -n "$$bad" ]; then echo "not formatted, run gofmt -w: $$bad"; exit 1; fi
	$(GO) vet $(PACKAGES)
	$(STATICCHECK) $(PACKAGES)

# What the race detector runs is not run without it as well; make test-all does both.
unit:
	$(GO) test $(ALONE) $$($(GO) list $(PACKAGES) | grep -vxF "$$($(GO) list $(E2E) $(RACE) $(PURE) $(PURE_RACE))")

# A process under the detector sleeps for a second when it ends, and tests start many.
race:
	CGO_ENABLED=1 GORACE=atexit_sleep_ms=20 $(GO) test $(ALONE) -race $(RACE)

# Two labs at a time, for tests that say so.
e2e: build
	BATON_BINARY=$(CURDIR)/$(BIN) $(GO) test -count 1 -vet=off -parallel 2 -timeout 14m $(E2E)

pure:
	$(GO) test -p 1 -vet=off -timeout 14m $(PURE)
	CGO_ENABLED=1 $(GO) test -p 1 -vet=off -race -timeout 14m $(PURE_RACE)

# What only calculates goes on at the lowest priority beside the tests that mostly wait
# for servers.
calculated:
	nice -n 19 $(MAKE) --no-print-directory -j1 arm64 lint pure

tested:
	$(MAKE) --no-print-directory -j1 unit race e2e

test:
	scripts/setup.sh test
	$(MAKE) --no-print-directory build
	$(MAKE) --no-print-directory -j2 --output-sync=line calculated tested
	@echo 'make test passed. Left to make test-all: every package $(REPEAT) times with the race detector,'
	@echo 'every fault $(REPEAT) times and all of them on MySQL.'
	@scripts/mysql-tested.sh

test-all:
	scripts/setup.sh test
	$(MAKE) --no-print-directory build-all build lint
	$(GO) test -p 1 -count $(REPEAT) -timeout 2h $(NOT_E2E)
	CGO_ENABLED=1 $(GO) test -p 1 -race -count $(REPEAT) -timeout 2h $(RACED)
	BATON_BINARY=$(CURDIR)/$(BIN) BATON_E2E_RUNS=$(REPEAT) BATON_E2E_DEATHS=all BATON_E2E_MYSQL=all $(GO) test -v -count 1 -parallel 1 -timeout 6h $(E2E)
	@scripts/mysql-tested.sh

sim:
	$(GO) run ./internal/sim/run -seeds $(SEEDS) -from $(FROM)

# Mistakes planted in the production code, each of which must be found.
sim-mutants:
	BATON_MUTANTS=1 $(GO) test -count 1 -timeout 2h -v ./internal/sim/mutants

bench:
	scripts/setup.sh bench $(FLAVOR)
	$(MAKE) --no-print-directory build
	@for fault in $(FAULTS); do $(BIN) lab bench --name bench --flavor $(FLAVOR) --runs $(RUNS) --fault $$fault || exit 1; done

bench-keepalived:
	scripts/setup.sh bench
	$(MAKE) --no-print-directory build
	@for fault in crash power link freeze partition switchover; do $(BIN) lab bench --name benchk --with keepalived --runs $(RUNS) --fault $$fault || exit 1; done

clean:
	rm -rf bin dist
