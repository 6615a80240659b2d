# Berth's build. `make help` lists the targets.

# go.mod names the toolchain; "auto" lets Go fetch it through the module proxy.
export GOTOOLCHAIN ?= auto
export CGO_ENABLED ?= 0
export GOFLAGS ?= -trimpath -buildvcs=false
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL: # go builds in parallel by itself

VERSION  ?= $(shell git describe --tags --match 'v*' --dirty 2>/dev/null || echo 0.1.0-dev)
COMMIT   ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
BUILT    ?= $(shell git log -1 --format=%cI 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION:v%=%) -X main.commit=$(COMMIT) -X main.buildTime=$(BUILT) -X main.built=$(BUILT) \
	-X github.com/docker/compose/v5/internal.Version=$(shell sed -n 's,.*docker/compose/v5 \(v[0-9.]*\).*,\1,p' go.mod)
# berth-sandbox is to be small: it lives beside every container. Our own code in
# it, and what words things, waits for the kernel, and inlining would make it a
# fortieth larger.
SMALL    := $(patsubst %,-gcflags=%=-l,github.com/berth-engine/... golang.org/x/sys/unix fmt reflect time)
PROGRAMS := berth berthd berth-sandbox berth-runtime berth-netd berth-hub berth-build berth-compose
PREFIX   ?= /usr/local
SEED     := hub/seed/bin
HELLO    := $(SEED)/hello-linux-amd64 $(SEED)/hello-linux-arm64

.PHONY: help build small faults clients channels test test-unit test-root test-race race e2e attack attack-mutants test-vm fuzz bench bench-compare bench-figures bench-images bench-limits bench-peers bench-runtime bench-render judge judge-render lint gen demo demo-channels demo-lamp demo-load man install deb check clean setup

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## install what tests need (Debian packages, as root)
	@tools/setup test

# (*) The linker writes its output page by page, and the page cache keeps it so. A
# copy, which is what an installation has, is kept in larger pieces: each start
# of a program has half a millisecond less to do.
build: $(HELLO) ## build every program into bin/
	@tools/setup build
	go build -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(filter-out berth-sandbox,$(PROGRAMS)))
	go build $(SMALL) -ldflags '$(LDFLAGS)' -o bin/ ./cmd/berth-sandbox
	@for p in $(PROGRAMS); do cp bin/$$p bin/.$$p && mv bin/.$$p bin/$$p; done # (*)
	@$(call plugins,bin)
	go build -ldflags '$(LDFLAGS)' -o bin/ ./tools/mkimage ./tools/demo ./test/bench ./test/bench/floor
	@cp bin/floor bin/.floor && mv bin/.floor bin/floor # (*)

small: # how berth-sandbox is compiled, for test/vm/payload
	@echo $(SMALL)

# The folder in which docker's command line, and Compose, look for the plugins
# that berth-build and berth-compose are.
plugins = mkdir -p $(1)/cli-plugins && for p in build:buildx compose:compose; do \
	ln -sfn ../berth-$${p%:*} $(1)/cli-plugins/docker-$${p\#*:}; done

# The program of the hello-world image, for each platform; the Hub embeds them.
$(SEED)/hello-linux-%: hub/seed/hello/main.go go.mod
	GOOS=linux GOARCH=$* go build -ldflags '-s -w' -o $@ ./hub/seed/hello

# The engine, and berth-netd, with their fail points compiled in, for the tests of crashes.
faults: build
	@mkdir -p bin/faults
	@rm -f bin/faults/berth-netd # a link, once
	go build -tags faultpoints -ldflags '$(LDFLAGS)' -o bin/faults/ ./cmd/berthd ./cmd/berth-netd
	@ln -sf ../berth-sandbox bin/faults/berth-sandbox

test: setup build test-unit test-race test-root e2e ## everything CI runs (as root)

# Folders whose tests make real namespaces, mounts and links.
ROOT := container image kernel network sandbox test/conformance volume

# Everything else but the stories: under a minute with a warm build cache.
test-unit: $(HELLO) ## tests that need no root
	go vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go test -v -p 2 $$(go list ./... | grep -vE '^[^/]+/[^/]+/[^/]+/($(subst $() ,|,$(ROOT))|test/e2e)(/|$$)') 2>&1 | tools/skips

# Not what imports containerd: building that with the detector takes too long.
test-race: ## light packages with many goroutines, under the race detector
	CGO_ENABLED=1 go test -race -p 2 ./event/... ./sandbox/logblock/... ./network/ipam/... ./network/netd/... ./cli/...

# Without a test whose program is the test's own, which is linked dynamically then,
# and one that shows a race of containerd's (docker/authorizer.go: expirationTime is
# read before Wait).
race: build ## everything but the stories under the race detector, as root (half an hour)
	CGO_ENABLED=1 go test -race -count=1 -p 1 -skip '^(TestSpawnEmptyRoot|TestPushKeepsCredentials)$$' $$(go list ./... | grep -v /test/)

test-root: build ## tests that need root: real namespaces, mounts, links
	go test -v -p 1 $(patsubst %,./%/...,$(ROOT)) 2>&1 | tools/skips

# What stories run that is no part of the engine: modules of their own.
clients: channels ## the testcontainers-go story and the services of examples/channels
	cd test/e2e/testdata/testcontainers && go build -o $(CURDIR)/bin/ .

channels:
	cd examples/channels && go vet ./... && go build -ldflags '-s -w' -o bin/ ./gateway ./price ./stock ./pay ./ledger

e2e: faults deb clients ## stories with the real daemon and real clients, as root
	go test -count=1 -p 1 -timeout 40m -v ./test/e2e/... 2>&1 | tools/skips

# What test/defences.txt lists.
ATTACKED = $(shell sed -n 's/^[a-z0-9]*: //p' test/defences.txt | tr ',' '\n' | awk '{print "./" $$1}' | sort -u)

attack: build ## try to break out, as root
	go test -count=1 -p 1 -v -run '^TestAttack' $(ATTACKED) 2>&1 | tools/skips

attack-mutants: build ## each defence built out must be missed (MUTANTS="tag…"), as root
	go run ./tools/mutants $(MUTANTS)

test-vm: faults deb ## the tests on Debian's kernel with cgroup v2 and systemd
	@tools/setup vm
	test/vm/run $(VMARGS)

fuzz: ## every fuzz target for a short while (FUZZTIME=10s)
	@for pkg in $$(git grep -l 'func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho 'func Fuzz[A-Za-z0-9]*' $$pkg/*_test.go | cut -c6-); do \
			go test ./$$pkg -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-10s} || exit 1; done; done

bench: build ## measure against the floor and PEERS="name=unix:///socket,…"
	bin/bench -commit $$(git rev-parse --short HEAD) $(BENCHARGS)

bench-runtime: build ## berth-runtime, runc and crun in turns on one bundle, as root
	test/bench/hybrid bin/bench -commit $$(git rev-parse --short HEAD) -runtimes runc,crun -n 40 $(BENCHARGS)

JUDGE := .cache/judge
judge: build ## outside suites judge berth-runtime, runc and crun, as root (JUDGEARGS="-suite runc exec")
	@tools/setup judge
	test/judge/fetch $(JUDGE)
	mkdir -p $(JUDGE)/name && ln -sf $(CURDIR)/bin/berth-runtime $(JUDGE)/name/runc # in runc's place, under its name
	go run ./test/judge -dir $(JUDGE) -runtime berth-runtime=$(JUDGE)/name/runc -runtime runc -runtime crun $(JUDGEARGS)
	@$(MAKE) --no-print-directory judge-render

judge-render: ## docs/conformance.md from the results in docs/conformance
	go run ./test/judge -render > docs/conformance.md.new && mv docs/conformance.md.new docs/conformance.md

bench-peers: build ## beside private engines of Debian's, as root (PEERS="name=unix:///socket,…" for others, too)
	@tools/setup bench
	test/bench/hybrid bin/bench -commit $$(git rev-parse --short HEAD) -private docker,podman $(BENCHARGS)
	test/bench/hybrid bin/bench -commit $$(git rev-parse --short HEAD) -runtimes runc,crun -n 40 $(RUNTIMEARGS)

# The other commit's programs are kept in .cache/compare, by commit.
COMPARE := .cache/compare
bench-compare: build ## this tree beside another commit, interleaved, as root (REF=COMMIT THRESHOLD=1.05)
	test/bench/compare "$(REF)" $(COMPARE) -threshold $(or $(THRESHOLD),1.05) -n 40 $(BENCHARGS)

bench-limits: build ## what must hold with many containers and much output, as root
	bin/bench -commit $$(git rev-parse --short HEAD) -limits $(BENCHARGS)

bench-images: build ## how images are moved and built, and what they take, beside Debian's Docker and skopeo, as root
	@tools/setup bench
	bin/bench -commit $$(git rev-parse --short HEAD) -images -n 5 $(BENCHARGS)
	bin/bench -commit $$(git rev-parse --short HEAD) -builds -n 10 $(BUILDARGS)

# Each in a file of its own, named after the day and the commit.
comma := ,
FIGURES = docs/benchmarks/$(shell date -u +%F)-$(shell git rev-parse --short HEAD)
bench-figures: build ## all figures of docs/benchmarks.md anew, on a machine with nothing else to do, as root (hours)
	@tools/setup bench
	$(call figures,start,-n 20)
	$(call figures,phases,-phases -n 10)
	$(call figures,peers,-private docker$(comma)podman -n 20)
	$(call figures,runtime,-runtimes runc$(comma)crun -n 40)
	$(call figures,idle,-limits -only idle)
	$(call figures,fleet,-limits -only fleet)
	$(call figures,health,-limits -only health)
	$(call figures,attach,-limits -only attach)
	$(call figures,images,-images -n 5)
	$(call figures,builds,-builds -n 10)
	bin/bench -render docs/benchmarks > docs/benchmarks.md

figures = test/bench/hybrid bin/bench -commit $$(git rev-parse --short HEAD) $(2) -out $(FIGURES)-$(1).json

bench-render: build ## docs/benchmarks.md from the samples in docs/benchmarks
	bin/bench -render docs/benchmarks > docs/benchmarks.md

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
lint: ## golangci-lint with .golangci.yml
	go run $(GOLANGCI) run ./...

gen: ## generated files; CI fails when they are stale
	go generate ./...

demo: ## the whole path on a throw-away engine, as root (DEMOARGS=-stop-hub: see it fail)
	@tools/setup demo
	@$(MAKE) --no-print-directory build
	@bin/demo $(DEMOARGS)

demo-channels: channels ## five services and five ways to talk, measured, as root (DEMOARGS=-plot: docs/channels.md)
	@tools/setup demo-lamp
	@$(MAKE) --no-print-directory build
	@bin/demo $(DEMOARGS) channels

demo-load: ## two hundred clients push to the Hub and pull, and it is killed, as root
	@$(MAKE) --no-print-directory build
	@bin/demo $(DEMOARGS) load

demo-lamp: ## a web application from Debian's packages, scaled under load, as root
	@tools/setup demo-lamp
	@$(MAKE) --no-print-directory build
	@bin/demo $(DEMOARGS) lamp

BINDIR   = $(DESTDIR)$(PREFIX)/bin
LIBEXEC  = $(DESTDIR)$(PREFIX)/libexec/berth
SHARE    = $(DESTDIR)$(PREFIX)/share
UNITDIR ?= $(PREFIX)/lib/systemd/system
man: ## manual pages and completions into bin/man
	go run ./tools/man bin/man

install: build man ## programs, manual, completions and units into PREFIX (/usr/local), honouring DESTDIR
	install -d $(BINDIR) $(LIBEXEC) $(SHARE)/man/man1 $(SHARE)/man/man8 $(DESTDIR)$(UNITDIR)
	install -m 755 $(addprefix bin/,$(filter-out berth-sandbox berth-netd berth-build berth-compose,$(PROGRAMS))) $(BINDIR)
	install -m 755 bin/berth-sandbox bin/berth-netd bin/berth-build bin/berth-compose $(LIBEXEC)
	@$(call plugins,$(LIBEXEC))
	ln -sf ../../bin/berth $(LIBEXEC)/docker # for PATH, where stock clients come by ssh://
	install -m 644 bin/man/man1/* $(SHARE)/man/man1
	install -m 644 bin/man/man8/* $(SHARE)/man/man8
	install -D -m 644 bin/man/completions/berth.bash $(SHARE)/bash-completion/completions/berth
	install -D -m 644 bin/man/completions/_berth $(SHARE)/zsh/vendor-completions/_berth
	install -D -m 644 bin/man/completions/berth.fish $(SHARE)/fish/vendor_completions.d/berth.fish
	sed 's,@BINDIR@,$(PREFIX)/bin,' tools/package/berth.service > $(DESTDIR)$(UNITDIR)/berth.service
	install -m 644 tools/package/berth.socket tools/package/berth-docker.socket $(DESTDIR)$(UNITDIR)

NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
deb: ## bin/berth.deb, a Debian package
	rm -rf .cache/deb
	$(MAKE) --no-print-directory install DESTDIR=.cache/deb PREFIX=/usr
	STAGE=.cache/deb ARCH=$$(go env GOARCH) VERSION='$(VERSION:v%=%)' go run $(NFPM) package -f tools/package/nfpm.yaml -p deb -t bin/berth.deb

check: test ## exactly what CI runs

clean: ## remove what the build made
	rm -rf bin .cache examples/channels/bin $(SEED)/hello-*
