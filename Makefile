# `make` alone prints the targets. Every one of them works offline once Go's module
# cache is warm; `run` and `test` first see to it that PostgreSQL's server is there.

.DEFAULT_GOAL := help
.PHONY: help run test test-long test-race gen lint verify bench proof proof-mutants bin/penstock bin/penstock-lab

ifeq ($(shell command -v go),)
$(error Go 1.26 or later is needed and no `go` is on PATH: install it from https://go.dev/dl)
endif

# Where make run listens, and what else to hand to `penstock-lab demo`.
LISTEN ?= 127.0.0.1:8080
ARGS   ?=

# Git refuses to answer in a checkout that another user owns, and the stamp it would
# give is of no use to a development build.
export GOFLAGS := $(strip $(shell go env GOFLAGS) -buildvcs=false)

# The same build on every machine, with a C compiler or without. Only the race detector
# needs C.
export CGO_ENABLED := 0

# All test packages share one private PostgreSQL: more than four at once gain nothing.
# One more than there are processors, because many tests wait.
CPUS     := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PACKAGES := $(shell [ $(CPUS) -ge 4 ] && echo 4 || echo $$(($(CPUS) + 1)))

TESTS     = go run ./internal/withpostgres --tests
TESTFLAGS = -p $(PACKAGES) -timeout 10m $(ARGS)

TOOL := go tool -modfile=tools/go.mod

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: bin/penstock bin/penstock-lab ## index the Go source tree as jobs, on a private PostgreSQL
	@exec bin/penstock-lab demo --listen $(LISTEN) $(ARGS)

bin/penstock bin/penstock-lab:
	@scripts/prepare
	@go build -o $@ ./cmd/$(@F)

# Tests run without vet: make lint has it.
test: ## run the tests against real PostgreSQL: two minutes, five with empty caches
	@scripts/prepare
	@$(TESTS) go test -vet=off $(TESTFLAGS) ./...
	@echo "test: passed, without the long tests, which make test-long runs too"

test-long: ## the same and the tests that take long: proof, bench, other languages
	@scripts/prepare
	@PENSTOCK_LONG=1 $(TESTS) go test -vet=off $(TESTFLAGS) ./...

test-race: ## the same as test, with Go's race detector, which needs a C compiler
	@cc=$$(scripts/prepare --compiler) && $(TESTS) env CGO_ENABLED=1 CC="$$cc" go test -race -vet=off $(TESTFLAGS) ./...

gen: ## write db/ from queries/ and migrations/, what is generated in migrations/, and internal/httpapi/openapi/ from openapi.yaml
	@scripts/prepare
	go run ./internal/schemafiles
	go tool sqlc generate
	go tool oapi-codegen -config internal/httpapi/openapi/config.yaml -o internal/httpapi/openapi/openapi.gen.go openapi.yaml

lint: ## gofumpt, vet, staticcheck
	@unformatted=$$($(TOOL) gofumpt -l .) || exit 1; [ -z "$$unformatted" ] || { \
		echo "lint: not formatted; mend with: $(TOOL) gofumpt -w ."; echo "$$unformatted"; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...

verify: ## generated code fresh, every query prepares, modules tidy, imports as designed
	@scripts/prepare
	@go run ./internal/schemafiles -check
	@go tool sqlc diff || { echo "verify: db/ is stale; mend with: make gen"; exit 1; }
	@go tool oapi-codegen -config internal/httpapi/openapi/config.yaml openapi.yaml \
		| diff -u internal/httpapi/openapi/openapi.gen.go - \
		|| { echo "verify: internal/httpapi/openapi is stale; mend with: make gen"; exit 1; }
	@echo "verify: generated code is fresh"
	@go run ./internal/withpostgres go tool sqlc vet
	@echo "verify: every query prepares on real PostgreSQL"
	@go mod tidy -diff || { echo "verify: mend with: go mod tidy"; exit 1; }
	@cd tools && go mod tidy -diff || { echo "verify: mend with: cd tools && go mod tidy"; exit 1; }
	@echo "verify: modules are tidy"
	@go test ./internal/archtest

bench: bin/penstock-lab ## measure what there are goals for, four minutes; FULL=1 has the long rows; penstock-lab bench --help has more
	@bin/penstock-lab bench goals $(if $(FULL),--full) $(ARGS)

# How long things break, and what decides what breaks when: make proof DURATION=1m SEED=7
DURATION ?= 10m
SEED     ?= 0

proof: ## show that the promises hold under faults, ten minutes; DURATION=1m is a taste
	@scripts/prepare
	@go build -tags failpoint -o bin/penstock-lab-failpoint ./cmd/penstock-lab
	@bin/penstock-lab-failpoint proof --duration $(DURATION) --seed $(SEED) --environments $(ARGS)

proof-mutants: bin/penstock-lab ## take out one guard at a time: the proof must notice each, eight minutes
	@bin/penstock-lab mutants $(ARGS)
