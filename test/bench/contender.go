package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coredns-kms/coredns-kms/test/repository"
)

// A contender is a way to answer the records.
type contender struct {
	name    string
	command command
	bare    bool    // it gives no addresses beside SRV records
	outside bool    // it is somebody else's program, to be compared with the default build
	slow    bool    // it cannot bear steadyRate
	target  float64 // kms shall answer so many times as much per CPU second; 0 for none
}

// place is where a contender runs.
type place struct {
	built string // directory with the binaries
	dir   string // for its files, and only its own
	port  string // of 127.0.0.1, where it is to answer
}

// command writes what a contender's server needs to answer the records, and returns how to start it.
type command func(records, place) (argv []string, err error)

// write writes a file into the place and returns its name.
func (p place) write(name, text string) (string, error) {
	name = filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", err
	}
	return name, os.WriteFile(name, []byte(text), 0o644)
}

// buildStock builds CoreDNS itself as its makers do, of the version that go.mod has, for benchmarks that compare with it.
func buildStock(ctx context.Context, b bench) error {
	binary := filepath.Join(b.dir, "coredns")
	if _, err := os.Stat(binary); err == nil {
		return nil
	}
	return repository.BuildAs(ctx, b.root, binary, "github.com/coredns/coredns", "-pgo=off")
}

// coreDNS is a binary with the lines of a Corefile that make it answer: "build" is this project's, "server" that of the benchmarks,
// "coredns" the stock.
func coreDNS(binary string, lines func(records) (string, error)) command {
	return func(r records, p place) ([]string, error) {
		answers, err := lines(r)
		if err != nil {
			return nil, err
		}
		corefile, err := p.write("Corefile", fmt.Sprintf("example:%s {\nbind 127.0.0.1\n%s}\n", p.port, answers))
		return []string{filepath.Join(p.built, binary), "-quiet", "-conf", corefile}, err
	}
}

// Contenders that several benchmarks have.
var (
	kms       = contender{name: "kms", command: coreDNS("server", records.kms)}
	kmsItself = contender{name: "kms in the default build", command: coreDNS("build", records.kms)}
	constant  = contender{name: "constant message", command: coreDNS("server", records.constant), target: 0.95}
	file      = contender{name: "CoreDNS file", command: coreDNS("coredns", records.file), outside: true, target: 2}
	bind      = contender{name: "BIND", command: startBIND, outside: true, target: 1.35}

	// Lua records as PowerDNS has them by default, which makes a Lua state for each answer, and with one for all.
	lua       = contender{name: "PowerDNS, Lua ifportup", command: startPowerDNSLua("yes"), outside: true, slow: true, target: 4.5}
	luaShared = contender{name: "PowerDNS, Lua ifportup, shared state", command: startPowerDNSLua("shared"), outside: true, target: 4.5}
)
