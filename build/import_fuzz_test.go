package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"

	kmsplugin "github.com/coredns-kms/coredns-kms"
)

// FuzzImportZone: whatever stands in a zone file, and in one that it includes, either it is refused, or what is printed is
// something that a server takes as it is, with the hosts that the plan says. No file is read that is not the zone's.
func FuzzImportZone(f *testing.F) {
	before := dnsserver.Directives
	f.Cleanup(func() { dnsserver.Directives = before })
	var err error
	if dnsserver.Directives, err = directivesWithKMS(before); err != nil {
		f.Fatal(err)
	}
	outside := netip.MustParseAddr("203.0.113.77")
	dir := f.TempDir()
	inside := filepath.Join(dir, "zone")
	if err := os.Mkdir(inside, 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("kms 60 A "+outside.String()+"\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	most := zoneLimits{octets: 1 << 20, files: 20, generates: 2, records: 3000}
	f.Fuzz(func(t *testing.T, text, included, origin string) {
		file := filepath.Join(inside, "db")
		for name, text := range map[string]string{file: text, filepath.Join(inside, "more"): included} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if origin != "" {
			var err error
			if origin, err = canonicalName(origin); err != nil {
				return
			}
		}
		z := &zoneContents{}
		if err := z.readFile(file, origin, "", most); err != nil {
			return
		}
		plan := planImport(z, nil)
		plan.conclude(z)
		for _, addresses := range []bool{false, true} {
			checkImported(t, plan, addresses)
		}
		for name, all := range z.addresses {
			if slices.Contains(all, outside) && !strings.Contains(text+included, "203") {
				t.Errorf("A file outside was read: %q has %v", name, all)
			}
		}
	})
}

// checkImported fails the test unless what plan prints is a comment, or a Corefile with the hosts of the plan.
func checkImported(t *testing.T, plan *importPlan, addresses bool) {
	t.Helper()
	text := plan.corefile(addresses)
	want := make(map[string]string) // by zone and endpoint
	for _, b := range plan.blocks {
		for _, r := range b.records {
			if len(r.drop) == 0 {
				want[b.zones[0]+" "+r.host.Endpoint()] = r.line(addresses)
			}
		}
	}
	if len(want) == 0 {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				t.Fatalf("Nothing is taken over, and this line is no comment: %q, of\n%s", line, text)
			}
		}
		return
	}
	found, err := kmsplugin.Inspect(caddy.CaddyfileInput{Contents: []byte(".:0 {\n" + text + "}\n"), Filepath: "Corefile", ServerTypeName: "dns"})
	if err != nil {
		t.Fatalf("The server does not take this: %v\n%s", err, text)
	}
	n := 0
	for _, server := range found.Servers {
		for _, b := range server.Blocks {
			for _, h := range b.Hosts {
				n++
				line, ok := want[b.Zones[0]+" "+h.Endpoint()]
				given := (&taking{host: h, known: h.Addresses}).line(addresses)
				if !ok || given != line {
					t.Errorf("%v has %q, want %q, of\n%s", b.Zones, given, line, text)
				}
			}
		}
	}
	if n != len(want) {
		t.Errorf("%d hosts, want %d, of\n%s", n, len(want), text)
	}
	var out strings.Builder
	if err := plan.writeJSON(&out, addresses); err != nil || !json.Valid([]byte(out.String())) {
		t.Errorf("As JSON: %v\n%s", err, out.String())
	}
}
