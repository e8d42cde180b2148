GO ?= go
FUZZTIME ?= 20s
STATICCHECK ?= $(shell command -v staticcheck || echo $(GO) run honnef.co/go/tools/cmd/staticcheck@latest)

.PHONY: build test demo fuzz lint clean

build: ## bin/topicgate and bin/topicgate-demo
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/topicgate ./cmd/topicgate-demo

test: ## installs what is missing, then everything with the race detector and beside real servers
	integration/servers.sh gcc mosquitto redis chromium node
	TEST_SERVERS=required $(GO) test -race -timeout 9m ./...

demo: build ## a chat on this machine: broker, Redis, login, gateway and page; Ctrl-C takes it all down
	integration/servers.sh mosquitto redis
	bin/topicgate-demo

fuzz: ## every fuzz target for FUZZTIME
	@set -e; for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

lint: ## format, vet, staticcheck
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); \
	  if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...

clean:
	rm -rf bin integration/node/node_modules
