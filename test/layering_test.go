// Package test looks at the project from outside: the rules between its packages,
// the ways to build it, and its behaviour on the wire.
package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/coredns-kms/coredns-kms"

// What several rows of the table allow together. "/..." at the end of a path
// stands for the package and everything below it.
var (
	coreDNS    = []string{"github.com/coredns/caddy/...", "github.com/coredns/coredns/..."}
	miekgDNS   = []string{"github.com/miekg/dns/..."}
	prometheus = []string{"github.com/prometheus/client_golang/prometheus/...", "github.com/prometheus/client_model/go"}
	systemd    = []string{"github.com/coreos/go-systemd/v22/daemon"}
)

// bundle is what makes a build of CoreDNS heavy. A "coreDNS" in a row does not
// stand for these: only build/ may link them, so that every other package and its
// tests compile in seconds.
var bundle = []string{
	"github.com/coredns/coredns/core/plugin",
	"github.com/coredns/coredns/test", // its helper that starts a server imports core/plugin
	"github.com/coredns/coredns/plugin/azure/...",
	"github.com/coredns/coredns/plugin/clouddns/...",
	"github.com/coredns/coredns/plugin/etcd/...",
	"github.com/coredns/coredns/plugin/k8s_external/...",
	"github.com/coredns/coredns/plugin/kubernetes/...",
	"github.com/coredns/coredns/plugin/nomad/...",
	"github.com/coredns/coredns/plugin/route53/...",
	"github.com/coredns/coredns/plugin/trace/...",
}

// A layer says what one package may import besides the standard library.
type layer struct {
	pkg    string // below the module path; "." is the root
	why    string
	allow  []string // the project's packages
	others []string // anyone else's
	bundle bool     // may link the whole of CoreDNS
}

// layers has a row for every package of the project outside test/. Imports run one
// way only: the rows are in such an order that a package imports only from rows
// above its own.
var layers = []layer{
	{
		pkg: "internal/config",
		why: "plain structs: who checks or writes a configuration should need nothing that serves it",
	},
	{
		pkg:   "internal/lint",
		why:   "judges what a Corefile says, from plain facts: who found them out, and how, is of no concern to it",
		allow: []string{"internal/config"},
	},
	{
		pkg: "internal/dcerpc",
		why: "a codec of PDUs, of use to client and server alike, which knows of no KMS and no pool",
	},
	{
		pkg:   "internal/kmswire",
		why:   "a codec of KMS messages, which knows of RPC only the interface it is called by",
		allow: []string{"internal/dcerpc"},
	},
	{
		pkg:   "internal/probe",
		why:   "asks one host over RPC; what the answer means for anyone else's choice is the pool's affair",
		allow: []string{"internal/config", "internal/dcerpc", "internal/kmswire"},
	},
	{
		pkg:   "internal/pool",
		why:   "health and preference are the same for DNS and RPC, so it knows neither, nor how a probe goes about it",
		allow: []string{"internal/config", "internal/probe"},
	},
	{
		pkg: "internal/ledger",
		why: "what happened, as plain records: whoever makes it happen writes here, and nothing is asked back",
	},
	{
		pkg:    "internal/store",
		why:    "octets under keys in one file: what they mean is the affair of those who put them there",
		others: []string{"go.etcd.io/bbolt/..."},
	},
	{
		pkg:   "internal/registry",
		why:   "who announced what, and for how long: DNS messages are the face's affair, health the pool's",
		allow: []string{"internal/config", "internal/pool", "internal/probe", "internal/store"},
	},
	{
		pkg:   "internal/engine",
		why:   "outlives a reload, so it must not hold on to anything of a CoreDNS instance",
		allow: []string{"internal/config", "internal/ledger", "internal/pool", "internal/probe", "internal/registry", "internal/store"},
	},
	{
		pkg:   "internal/history",
		why:   "what lately happened, as plain records, like the ledger: fed by everybody, and nothing is decided by it",
		allow: []string{"internal/ledger", "internal/pool", "internal/probe"},
	},
	{
		pkg: "internal/explain",
		why: "what error codes mean, as a table: of use to whoever shows one, so it needs nobody",
	},
	{
		pkg:    "internal/discover",
		why:    "asks DNS and hosts as a client does, from outside: what a running server believes must not colour it",
		allow:  []string{"internal/config", "internal/explain", "internal/probe"},
		others: miekgDNS,
	},
	{
		pkg: "internal/httpserver",
		why: "serves whatever handler within bounds: what is asked there is of no concern to it",
	},
	{
		pkg:    "internal/tuning",
		why:    "changes the process for whatever runs in it: for programs, none of which it knows",
		others: miekgDNS,
	},
	{
		pkg: "internal/status",
		why: "shows what pools, ledger and registry know; what only the faces know it is told",
		allow: []string{"internal/config", "internal/engine", "internal/explain", "internal/history", "internal/httpserver",
			"internal/kmswire", "internal/ledger", "internal/pool", "internal/probe", "internal/registry"},
	},
	{
		pkg:   "internal/control",
		why:   "what a person does to pools of a running server: neither face is needed for it",
		allow: []string{"internal/config", "internal/engine", "internal/httpserver", "internal/pool", "internal/status", "internal/store"},
	},
	{
		pkg:    "kmsresponder",
		why:    "the RPC face: sees the pool, and never CoreDNS or the DNS face",
		allow:  []string{"internal/config", "internal/dcerpc", "internal/kmswire", "internal/ledger", "internal/pool", "internal/probe"},
		others: prometheus,
	},
	{
		pkg:   "internal/simulate",
		why:   "puts pool, responder and rehearsals into a world without clock and network: it may know them all, and none may know it",
		allow: []string{"internal/config", "internal/kmswire", "internal/ledger", "internal/pool", "internal/probe", "kmsresponder"},
	},
	{
		pkg:    "plugin",
		why:    "the DNS face: sees the pool, and never RPC or the RPC face",
		allow:  []string{"internal/config", "internal/engine", "internal/history", "internal/pool", "internal/probe", "internal/registry"},
		others: slices.Concat(coreDNS, miekgDNS, prometheus),
	},
	{
		pkg:    ".",
		why:    "wires the faces to the pool for CoreDNS, and is itself what a plugin.cfg names",
		allow:  []string{"internal/...", "kmsresponder", "plugin"},
		others: slices.Concat(coreDNS, miekgDNS, prometheus),
	},
	{
		pkg:    "build",
		why:    "the program: the root beside all of CoreDNS, and the commands on top of the packages",
		allow:  []string{".", "internal/...", "kmsresponder"},
		others: slices.Concat(coreDNS, miekgDNS, prometheus, systemd, []string{"github.com/urfave/cli/v3", "golang.org/x/term", "golang.org/x/text/width"}),
		bundle: true,
	},
}

// A listed is what go list says of a package.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string // of _test.go files in the package
	XTestImports []string // of _test.go files in the package's _test
}

func TestLayering(t *testing.T) {
	// Build constraints hide files, and with them imports, from go list.
	for _, tags := range []string{"", "full", "interop"} {
		t.Run("tags="+tags, func(t *testing.T) {
			graph := list(t, tags)
			if len(graph) < 2 {
				t.Fatalf("Got %d packages from go list, want the project's", len(graph))
			}
			for _, problem := range checkLayers(layers, graph) {
				t.Error(problem)
			}
		})
	}
}

// list returns every package of the project.
func list(t *testing.T, tags string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags="+tags, "-pgo=off", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			t.Fatalf("Cannot list the packages: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("Cannot list the packages: %v", err)
	}
	var graph []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return graph
		} else if err != nil {
			t.Fatalf("Cannot read what go list printed: %v", err)
		}
		graph = append(graph, p)
	}
}

// checkLayers returns what is wrong with the imports of graph, a sentence each.
// Test files answer for the bundle only: a test may well play the other end of
// what it tests. Packages under test/ answer for nothing.
func checkLayers(layers []layer, graph []listed) []string {
	var problems []string
	for _, p := range graph {
		name := relative(p.ImportPath)
		if matches("test/...", name) {
			continue
		}
		i := slices.IndexFunc(layers, func(l layer) bool { return l.pkg == name })
		if i < 0 {
			problems = append(problems, fmt.Sprintf("%s has no row in the table of layers: add a row that says what it may import, and why", name))
			continue
		}
		l := layers[i]
		for _, path := range p.Imports {
			if !l.allows(path) {
				problems = append(problems, fmt.Sprintf("%s imports %s, which its row does not allow: %s", name, relative(path), l.why))
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if inBundle(path) && !l.bundle {
				problems = append(problems, fmt.Sprintf("A test of %s imports %s, which only build may", name, path))
			}
		}
	}
	return problems
}

// allows says whether the package of the row may import path.
func (l layer) allows(path string) bool {
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return true // no dot before the first slash: the standard library
	}
	if inBundle(path) {
		return l.bundle
	}
	allowed := l.others
	if path == module || strings.HasPrefix(path, module+"/") {
		path, allowed = relative(path), l.allow
	}
	return slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, path) })
}

func inBundle(path string) bool {
	return slices.ContainsFunc(bundle, func(pattern string) bool { return matches(pattern, path) })
}

// matches compares path with a pattern, which may end in "/...".
func matches(pattern, path string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == below || strings.HasPrefix(path, below+"/")
	}
	return path == pattern
}

// relative turns the path of a package of ours into the one in the table.
func relative(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// TestLayers checks the table itself: a row that could import in a circle, or that
// has no reason, is not a rule.
func TestLayers(t *testing.T) {
	for i, l := range layers {
		if l.why == "" {
			t.Errorf("The row of %s does not say why", l.pkg)
		}
		for j, other := range layers {
			if j >= i && slices.ContainsFunc(l.allow, func(pattern string) bool { return matches(pattern, other.pkg) }) {
				t.Errorf("The row of %s allows %s, which is not above it", l.pkg, other.pkg)
			}
		}
	}
}

// TestCheckLayers shows that each rule of the real table can be broken.
func TestCheckLayers(t *testing.T) {
	const (
		caddy  = "github.com/coredns/caddy"
		server = "github.com/coredns/coredns/core/dnsserver"
		full   = "github.com/coredns/coredns/core/plugin"
		cloud  = "github.com/coredns/coredns/plugin/route53"
		dns    = "github.com/miekg/dns"
		prom   = "github.com/prometheus/client_golang/prometheus"
	)
	ours := func(name string) string { return module + "/" + name }
	tests := []struct {
		pkg, path string
		ok        bool
	}{
		{"internal/config", "net/netip", true},
		{"internal/config", dns, false},
		{"internal/config", ours("internal/pool"), false},
		{"internal/dcerpc", "encoding/binary", true},
		{"internal/dcerpc", ours("internal/kmswire"), false},
		{"internal/dcerpc", "golang.org/x/sys/unix", false},
		{"internal/kmswire", ours("internal/dcerpc"), true},
		{"internal/kmswire", ours("internal/config"), false},
		{"internal/probe", ours("internal/dcerpc"), true},
		{"internal/probe", ours("internal/kmswire"), true},
		{"internal/probe", ours("internal/pool"), false},
		{"internal/probe", ours("internal/config"), true},
		{"internal/probe", dns, false},
		{"internal/pool", ours("internal/config"), true},
		{"internal/pool", ours("internal/probe"), true},
		{"internal/pool", ours("internal/dcerpc"), false},
		{"internal/pool", ours("internal/kmswire"), false},
		{"internal/pool", dns, false},
		{"internal/pool", caddy, false},
		{"internal/pool", server, false},
		{"internal/pool", prom, false},
		{"internal/ledger", "sync/atomic", true},
		{"internal/ledger", ours("internal/pool"), false},
		{"internal/ledger", ours("kmsresponder"), false},
		{"internal/discover", dns, true},
		{"internal/discover", ours("internal/pool"), false},
		{"internal/engine", ours("internal/pool"), true},
		{"internal/engine", ours("plugin"), false},
		{"internal/engine", caddy, false},
		{"internal/engine", server, false},
		{"kmsresponder", ours("internal/ledger"), true},
		{"kmsresponder", prom + "/promauto", true},
		{"kmsresponder", ours("plugin"), false},
		{"kmsresponder", ours("internal/engine"), false},
		{"kmsresponder", ours("internal"), false},
		{"kmsresponder", module, false},
		{"kmsresponder", server, false},
		{"kmsresponder", dns, false},
		{"plugin", ours("internal/pool"), true},
		{"plugin", server, true},
		{"plugin", ours("kmsresponder"), false},
		{"plugin", ours("internal/dcerpc"), false},
		{"plugin", full, false},
		{".", ours("plugin"), true},
		{".", ours("kmsresponder"), true},
		{".", ours("internal/engine"), true},
		{".", caddy, true},
		{".", ours("build"), false},
		{".", ours("test"), false},
		{".", full, false},
		{".", cloud, false},
		{"build", module, true},
		{"build", full, true},
		{"build", cloud, true},
		{"build", ours("test"), false},
		{"test/anything", full, true},
	}
	for _, tc := range tests {
		t.Run(tc.pkg+" imports "+relative(tc.path), func(t *testing.T) {
			importer := ours(tc.pkg)
			if tc.pkg == "." {
				importer = module
			}
			got := checkLayers(layers, []listed{{ImportPath: importer, Imports: []string{"fmt", tc.path}}})
			if ok := len(got) == 0; ok != tc.ok {
				t.Errorf("Got %q, want it allowed: %t", got, tc.ok)
			}
		})
	}
}

func TestCheckLayersOfUnknownPackage(t *testing.T) {
	got := checkLayers(layers, []listed{{ImportPath: module + "/internal/util"}})
	if len(got) != 1 || !strings.Contains(got[0], "internal/util has no row") || !strings.Contains(got[0], "add a row") {
		t.Errorf("Got %q, want to be told to add a row", got)
	}
}

func TestCheckLayersOfTests(t *testing.T) {
	for _, p := range []listed{
		{ImportPath: module + "/plugin", TestImports: []string{bundle[0]}},
		{ImportPath: module + "/plugin", XTestImports: []string{bundle[0]}},
	} {
		if got := checkLayers(layers, []listed{p}); len(got) != 1 {
			t.Errorf("Got %q for a test with the bundle, want one problem", got)
		}
	}
	fake := listed{ImportPath: module + "/internal/pool", TestImports: []string{module + "/internal/dcerpc"}}
	if got := checkLayers(layers, []listed{fake}); len(got) != 0 {
		t.Errorf("Got %q for a test that plays a host, want no problem", got)
	}
}
