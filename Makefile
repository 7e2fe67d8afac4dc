# Every target is one command and runs on a machine that has just cloned this.
# ARGS go to the command: make test ARGS='-run TestEngine', make demo ARGS=--smoke.

SHELL = bash
# Without C's library the program needs no library of the system that it runs on, and
# takes less memory. Names are looked up by Go's own resolver.
export CGO_ENABLED ?= 0
export PATH := $(CURDIR)/.tools/envoy/bin:$(PATH)

FUZZTIME ?= 30s

# The real parts, or the one that is named. Without them the tests that need them are
# skipped, and each says so; with CI=true that isn't good enough.
parts = tools/install $(1) || [ "$$CI" != true ]

# A busy machine needs longer than the ten minutes that go test has patience for.
patience = -timeout 1h

.PHONY: help demo test race check fuzz mutate cover bench generate build clean

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: build ## Run a provider, an application, Credence and Envoy here
	@$(call parts,envoy)
	bin/credence demo $(ARGS)

test: ## Run all tests, against the real parts that can be had
	@$(call parts)
	go test $(patience) $(ARGS) ./...
	go -C bench test $(patience) $(ARGS) ./...

race: ## Run the tests of the packages under the race detector
	CGO_ENABLED=1 go test -race $(patience) $(ARGS) $$(go list ./... | grep -v /e2e)

check: ## Run everything about the code that isn't a test: format, lint, generated files
	tools/check

fuzz: ## Run every fuzz target for FUZZTIME
	tools/fuzz $(FUZZTIME)

mutate: ## Change FILES in one place at a time, and say which changes no test notices
	go run ./tools/mutate $(ARGS) $(FILES)

cover: ## Measure what the tests reach, into bin/cover.out
	@mkdir -p bin
	go test $(patience) -coverprofile=bin/cover.out $(ARGS) ./...

bench: ## Measure the cost of a check against the floor, and of each stage
	bench/run $(ARGS)

generate: ## Write the generated files again
	go tool -modfile=tools/buf.mod buf generate proto

build: ## Build bin/credence
	go build -trimpath -o bin/ ./cmd/credence

clean: ## Remove what was built and linked here; the caches stay
	rm -rf bin bench/bin bench/fixtures .tools
