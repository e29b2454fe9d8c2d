# What is made from this tree. Everything lands in dist/; "make clean" takes it away.
#
# Two builds of one commit are the same, octet for octet: paths are trimmed, no C compiler takes part, times are those of the
# commit, and the Go is the one of go.mod's toolchain line, which any other Go fetches. "make GOTOOLCHAIN=local" takes the Go that
# is there.

VERSION           ?= $(shell packaging/version)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
ARCH              ?= $(shell go env GOARCH)
MAINTAINER        ?= The coredns-kms authors <root@localhost>
DIST              ?= dist
FUZZTIME          ?= 10m
CHAOS_FOR         ?= 10m
GOTOOLCHAIN       ?= $(shell sed -n 's/^toolchain //p' go.mod)
# The Go vulnerability database, which is a module too; raised by hand: see docs/security.md.
DB                ?= v0.0.0-20261105234957-e22db6528018

export VERSION SOURCE_DATE_EPOCH ARCH MAINTAINER DIST
export CGO_ENABLED = 0

host  = $(shell go env GOHOSTARCH)
date  = $(shell date --utc --date=@$(SOURCE_DATE_EPOCH) $(1))
# packaging/ is a module of its own: none of what its tools need gets into the program's go.mod.
tool  = $(shell GOARCH= go -C packaging tool -n $(1))

.PHONY: help build test bench pgo fuzz chaos vulncheck twice sbom deb clean
.DELETE_ON_ERROR:

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10
	@echo 'VERSION=1.2.3 names another version than that of the commit ($(VERSION)), ARCH=arm64 another machine.'

build: $(DIST)/$(ARCH)/coredns-kms ## the program, as dist/ARCH/coredns-kms

test: ## all tests that need no other program than Go
	go test ./...

bench: ## measure the program beside others, into docs/performance.md; takes some 25 minutes, Debian, root if some are missing
	go run ./test/bench all -write

pgo: ## the profile that everything is built with, build/default.pgo, anew; a minute, on an idle machine
	go run ./test/bench settings -seconds 20 -profile build/default.pgo

fuzz: ## all fuzz tests, FUZZTIME=10m each, with the table in docs/reliability.md
	go run ./test/fuzz -for $(FUZZTIME) -write

chaos: ## everything going wrong around the program for CHAOS_FOR=10m, as root on Linux, with the table in docs/reliability.md
	go run ./test/chaos -for $(CHAOS_FOR) -write

vulncheck: ## known vulnerabilities that the program and its tools call, if any, by the database DB=latest or another
	packaging/vulncheck $(DB) $(GOTOOLCHAIN)

twice: build ## build once more in another directory, with nothing in the cache, and compare; takes minutes
	GOTOOLCHAIN=$(GOTOOLCHAIN) packaging/twice $(DIST)/$(ARCH)/coredns-kms

sbom: $(DIST)/$(ARCH)/coredns-kms.cdx.json ## what the program is made of, as CycloneDX in dist/ARCH/coredns-kms.cdx.json

deb: build sbom documents ## the Debian package, as dist/coredns-kms_VERSION_ARCH.deb
	$(call tool,nfpm) package --config packaging/nfpm.yaml --packager deb --target $(DIST)/

clean: ## remove dist/
	rm -rf $(DIST)

# Go knows best whether there is anything to do.
.PHONY: always
$(DIST)/%/coredns-kms: always
	@test -n '$(VERSION)' || { echo 'There is no version: is this a git repository? Or say VERSION=1.2.3' >&2; exit 1; }
	GOARCH=$* GOTOOLCHAIN=$(GOTOOLCHAIN) go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./build

# It is read from the program, so that it says what is linked and not what go.mod would allow. Licences are looked for in the
# module cache, which has all that was linked; nobody is asked for the rest. The bill names the tool by its hash, so that one
# is built as the program is. It warns that it has no licence text for Go and for the program itself, whose is in LICENSE.
$(DIST)/%/coredns-kms.cdx.json: $(DIST)/%/coredns-kms
	tool=$$(GOARCH= GOTOOLCHAIN=$(GOTOOLCHAIN) GOFLAGS='-trimpath -buildvcs=false' go -C packaging tool -n cyclonedx-gomod) && \
	GOPROXY=off "$$tool" bin -json -std -licenses -noserial -notimestamp -version 'v$(VERSION)' -output $@ $<

# Man pages and completion are printed by the program itself, built for this machine; coredns-kms(7) is README.md.
.PHONY: documents
documents: to = $(DIST)/documents
documents: $(DIST)/$(host)/coredns-kms
	rm -rf $(to)
	mkdir -p $(to)/man
	$< kms man -dir $(to)/man -date $(call date,+%F) >/dev/null
	for shell in bash zsh fish; do $< kms completion $$shell >$(to)/completion.$$shell || exit; done
	packaging/manual $(call date,+%F) <README.md >$(to)/readme.md
	$(call tool,go-md2man) -in $(to)/readme.md -out $(to)/man/coredns-kms.7
	packaging/changelog '$(VERSION)' '$(call date,-R)' '$(MAINTAINER)' >$(to)/changelog
	gzip -9n $(to)/man/* $(to)/changelog
