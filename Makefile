# Berth's build. `make help` lists the targets.

# go.mod names the toolchain; "auto" lets Go fetch it through the module proxy.
export GOTOOLCHAIN ?= auto
export CGO_ENABLED ?= 0
export GOFLAGS ?= -trimpath -buildvcs=false
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
PROGRAMS := berth berthd berth-sandbox berth-netd berth-hub
TOOLS    := mkimage floor bench
PREFIX   ?= /usr/local
SEED     := hub/seed/bin
HELLO    := $(SEED)/hello-linux-amd64 $(SEED)/hello-linux-arm64

.PHONY: help build faults test test-unit test-root test-race e2e test-vm fuzz bench bench-render lint gen demo install check clean setup $(PROGRAMS)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:
	@tools/setup test

build: $(HELLO) ## build every program into bin/
	@tools/setup build
	go build -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(PROGRAMS))
	go build -ldflags '$(LDFLAGS)' -o bin/ ./tools/mkimage ./test/bench ./test/bench/floor

# The program of the hello-world image, for each platform; the Hub embeds them.
$(SEED)/hello-linux-%: hub/seed/hello/main.go
	GOOS=linux GOARCH=$* go build -ldflags '-s -w' -o $@ ./hub/seed/hello

# The engine with its fail points compiled in, for the tests of crashes.
faults: build
	@mkdir -p bin/faults
	go build -tags faultpoints -ldflags '$(LDFLAGS)' -o bin/faults/ ./cmd/berthd
	@for p in berth-sandbox berth-netd; do ln -sf ../$$p bin/faults/$$p; done

test: setup build test-unit test-race test-root e2e ## everything CI runs (as root)

# What needs no root: under a minute with a warm build cache.
UNIT := . ./api/... ./cli/... ./cmd/... ./config/... ./event/... ./fault/... ./hub/... ./oci/... ./server/... ./test/bench/... ./test/leak/... ./tools/...
test-unit: $(HELLO) ## tests that need no root
	go vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go test -v $(UNIT) 2>&1 | tools/skips

test-race: ## the packages with the most goroutines, under the race detector
	CGO_ENABLED=1 go test -race ./event/... ./sandbox/logblock/... ./network/ipam/... ./cli/stream/...

ROOT := ./container/... ./image/... ./kernel/... ./network/... ./sandbox/... ./volume/...
test-root: build ## tests that need root: real namespaces, mounts, links
	go test -v -p 1 $(ROOT) 2>&1 | tools/skips

e2e: faults ## stories with the real daemon and real clients, as root
	go test -count=1 -timeout 20m -v ./test/e2e/... 2>&1 | tools/skips

test-vm: faults ## the stories on Debian's kernel with cgroup v2 and systemd
	@tools/setup vm
	test/vm/run $(VMARGS)

fuzz: ## every fuzz target for a short while (FUZZTIME=10s)
	@for pkg in $$(git grep -l 'func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho 'func Fuzz[A-Za-z0-9]*' $$pkg/*_test.go | cut -c6-); do \
			go test ./$$pkg -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-10s} || exit 1; done; done

bench: build ## measure against the floor and PEERS="name=unix:///socket,…"
	bin/bench -commit $$(git rev-parse --short HEAD) $(BENCHARGS)

bench-render: build ## docs/benchmarks.md from the samples in docs/benchmarks
	bin/bench -render docs/benchmarks > docs/benchmarks.md

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
lint: ## golangci-lint with .golangci.yml
	go run $(GOLANGCI) run ./...

gen: ## generated files; CI fails when they are stale
	go generate ./...

demo: ## the whole path on a throw-away engine, as root
	@tools/setup demo
	@$(MAKE) --no-print-directory build
	go run ./tools/demo -bin bin

LIBEXEC := $(DESTDIR)$(PREFIX)/libexec/berth
install: build ## programs into PREFIX (/usr/local), honouring DESTDIR
	install -d $(DESTDIR)$(PREFIX)/bin $(LIBEXEC)
	install -m 755 bin/berth bin/berthd bin/berth-hub $(DESTDIR)$(PREFIX)/bin
	install -m 755 bin/berth-sandbox bin/berth-netd $(LIBEXEC)

check: test ## exactly what CI runs

clean: ## remove what the build made
	rm -rf bin .cache $(SEED)/hello-*
