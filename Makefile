# Everything that one does here; `make help` lists it. It needs Go and make; on Debian the rest is installed
# by integration/servers.sh, elsewhere that says what is missing.

GO ?= go
# How long `make fuzz` spends on each target.
FUZZTIME ?= 5s
# A fixed version (2026.2.2), so that a new check doesn't break an old change.
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := build
.PHONY: help build test bench demo fuzz lint vulncheck clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

build: ## bin/topicgate and bin/topicgate-demo, static
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/topicgate ./cmd/topicgate-demo

# At a desk a plain `go test ./...` skips what needs a server that isn't installed; here nothing is skipped.
test: ## all tests, with the race detector and beside real servers; installs what is missing
	integration/servers.sh gcc mosquitto redis rabbitmq chromium node page
	TEST_SERVERS=required $(GO) test -race -timeout 20m ./...
	$(GO) test -run Allocat ./frames ./gateway/... ./policy/... # what promises to allocate nothing: the race detector itself does
	$(GO) test -run TheClientGetsWhatItMayRead ./gateway/subs # 100,000 histories, of which the race detector has time for few

ROUNDS ?= 5
ONLY ?=
RESULTS ?= $(if $(ONLY),,integration/bench)

bench: build ## what the gateway costs beside a plain pipe, nginx and the broker's own listener (about an hour; ROUNDS=1 ONLY=throughput for a look)
	integration/servers.sh mosquitto redis nginx
	$(GO) build -o bin/ ./integration/bench
	bin/bench -gateway bin/topicgate -rounds $(ROUNDS) -only "$(ONLY)" -results "$(RESULTS)"

demo: build ## a chat on this machine: broker, Redis, login, gateway and page; Ctrl-C takes it all down
	integration/servers.sh mosquitto redis page
	bin/topicgate-demo

fuzz: ## every fuzz target for FUZZTIME (5s); what it finds stays in testdata/fuzz
	@set -e; for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package; \
	  done; \
	done

lint: ## gofmt, go vet, staticcheck, and which package may import which (.ci/imports.txt)
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); \
	  if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...
	$(GO) test -count=1 -run Imports ./integration

vulncheck: ## known holes in what is linked in; asks the vulnerability database, so it needs the network
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...

clean: ## removes what was built and the npm packages
	rm -rf bin integration/node/node_modules cmd/topicgate-demo/web/node_modules
