package kms

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/coredns/coredns/plugin/auto"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/tsig"

	"github.com/coredns-kms/coredns-kms/internal/lint"

	"github.com/miekg/dns"
)

const inspectZone = `$ORIGIN example.org.
@              3600 IN SOA   NS1 hostmaster 1 7200 900 1209600 86400
@                   IN NS    ns1
ns1                 IN A     192.0.2.53
kms1                IN A     192.0.2.1
kms1                IN AAAA  2001:db8::1
KMS2                IN CNAME Kms1
kms3                IN CNAME kms.example.net.
_vlmcs._tcp         IN SRV   0 5 1688 OLD
_vlmcs._tcp.sub     IN NS    ns2
sub                 IN NS    elsewhere.example.net.
`

// write puts a file into a directory of the test.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInspect: blocks with places, in imports too; what zones behind say, and what they do not know.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "db.example.org", inspectZone)
	write(t, dir, "hosts.kms", "\nhost kms2.example.org\n")
	t.Setenv("LINT_TEST_TTL", "17")
	path := write(t, dir, "Corefile", fmt.Sprintf(`(common) {
	errors
	ready
}
example.org:1053 tls://example.com {
	import common
	kms example.org {
		host kms1.example.org
		import hosts.kms
		host kms3.example.org
		host other.example.net
		ttl {$LINT_TEST_TTL}
		ns dns.example.net
		fallthrough
	}
	auto example.org {
		directory %s db\.(.*) {1}
	}
	forward . 192.0.2.1
}
example.net:1053 {
	errors
}
`, dir))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Inspect(caddyInput{path, text})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Servers) != 2 || len(c.Servers[0].Blocks) != 1 || len(c.Servers[1].Blocks) != 0 || c.File != path {
		t.Fatalf("Got %+v", c)
	}
	s, b := c.Servers[0], c.Servers[0].Blocks[0]
	for what, got := range map[string][2]any{
		"zones":     {s.Zones, []string{"example.org.", "example.com."}},
		"listens":   {s.Listens, []string{"dns://:1053", "tls://:"}},
		"behind":    {s.Behind, []string{"auto", "forward"}},
		"fall":      {b.Fall, []string{"."}},
		"below":     {b.Below, map[string]lint.Zone{"example.org.": {MNAME: "ns1.example.org.", SRV: []lint.Record{{Target: "old.example.org.", Port: 1688, Weight: 5}}}}},
		"ttl":       {b.TTL, 17 * time.Second},
		"forward":   {s.Directives["forward"][0].Words, []string{"forward", ".", "192.0.2.1"}},
		"auto":      {s.Directives["auto"][1].Line, 17},
		"ready":     {s.Directives["ready"][0].Line, 3},
		"the block": {b.Places.Of(), b.Places.Of("kms")},
	} {
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Errorf("%s: %v, want %v", what, got[0], got[1])
		}
	}
	for what, line := range map[string]int{"kms": 7, "host kms1.example.org:1688": 8, "host kms3.example.org:1688": 10, "ttl": 12} {
		if at := b.Places.Of(what); at.Line != line || at.File != path {
			t.Errorf("%q stands at %v, want line %d", what, at, line)
		}
	}
	if at := b.Places.Of("host kms2.example.org:1688"); at.Line != 2 || filepath.Base(at.File) != "hosts.kms" {
		t.Errorf("An imported host stands at %v, want line 2 of hosts.kms", at)
	}
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for name, want := range map[string]*lint.Answer{
		"kms1.example.org.": {Addresses: []netip.Addr{v4, v6}},
		"kms2.example.org.": {Addresses: []netip.Addr{v4, v6}, Alias: "kms1.example.org."},
		"kms3.example.org.": {Alias: "kms.example.net."},
		"ns1.example.org.":  {Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.53")}},
		// It is forward who may know these.
		"other.example.net.": nil, "dns.example.net.": nil,
	} {
		if got := c.Names[name].Below; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// caddyInput is a Corefile at a path.
type caddyInput struct {
	path string
	text []byte
}

func (i caddyInput) Body() []byte       { return i.text }
func (i caddyInput) Path() string       { return i.path }
func (i caddyInput) ServerType() string { return "dns" }

// TestInspectDelegation: the name servers that the zone below gives the service name, and a zone that it gave away.
func TestInspectDelegation(t *testing.T) {
	zone := write(t, t.TempDir(), "db", strings.ReplaceAll(inspectZone, "_vlmcs._tcp         IN SRV   0 5 1688 OLD", "_vlmcs._tcp IN NS DNS\n_vlmcs._tcp IN NS dns.example.net."))
	c, err := Inspect(input("example.org:1053 {\n kms example.org other.sub.example.org {\n host a.sub.example.org\n }\n file " + zone + " example.org\n}"))
	if err != nil {
		t.Fatal(err)
	}
	b := c.Servers[0].Blocks[0]
	ns := b.Below["example.org."].NS
	slices.Sort(ns)
	if want := []string{"dns.example.net.", "dns.example.org."}; !slices.Equal(ns, want) || len(b.Below["example.org."].SRV) > 0 {
		t.Errorf("Got %+v, want a delegation to %v", b.Below["example.org."], want)
	}
	if c.Names["a.sub.example.org."].Below != nil {
		t.Error("The zone below speaks for a name in a zone that it delegated")
	}
}

// TestInspectErrors: what stops the server stops Inspect, with the same words.
func TestInspectErrors(t *testing.T) {
	for text, want := range map[string]string{
		"example.org {\n kms {\n host kms1\n }\n}":                                                                                   `plugin/kms: Corefile:3 - Error during parsing: host "kms1" is not fully qualified`,
		"example.org {\n frobnicate\n}":                                                                                              "Corefile:2 - Error during parsing: Unknown directive 'frobnicate'",
		"example.org {\n kms {\n host a.example.org\n }\n}\nexample.org {\n errors\n}":                                               "cannot serve dns://example.org.:53 - it is already defined",
		"example.org {\n tsig {\n secret a.example.org. YQ==\n }\n kms {\n update {\n key b.example.org\n }\n }\n}":                  "update: key b.example.org.: the tsig plugin of this server block has no such key",
		"example.org {\n kms {\n host a.example.org\n store /a\n }\n}\nexample.net {\n kms {\n host a.example.org\n store /b\n }\n}": "one store per process",
		"example.org {\n import /nowhere/at/all\n}":                                                                                  "File to import not found",
		"(a) {\n import a\n}\nexample.org {\n import a\n}":                                                                           "maximum snippet import depth",
		"(a) {\n import b\n}\n(b) {\n import a\n}\nexample.org {\n import a\n}":                                                      "maximum snippet import depth",
		"example.org {":             "Unexpected token '{', expecting '}'",
		"\x00\xff\xfe{{{\n}\x01 }}": "",
	} {
		c, err := Inspect(input(text))
		if err == nil || !strings.Contains(err.Error(), want) || c != nil {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestInspectLeavesNothing: no goroutine, no socket, no file, and no pool for a server to find.
func TestInspectLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	zone := write(t, dir, "db.example.org", inspectZone)
	ports := []int{freePort(t), freePort(t), freePort(t)}
	text := fmt.Sprintf(`example.org:%d {
	ready 127.0.0.1:%d
	kms {
		host 127.0.0.1:%d
		responder 127.0.0.2:%d
		rehearse 127.0.0.1:%d
		update {
			allow 127.0.0.0/8
		}
		store %[6]s/kms.db
		control %[6]s/kms.sock
	}
	file %[7]s
	auto example.org {
		directory %[6]s db\.(.*) {1}
	}
	forward . 127.0.0.1:%[3]d
}
`, ports[0], ports[1], ports[2], ports[2], ports[2], dir, zone)
	before := runtime.NumGoroutine()
	for range 3 {
		if _, err := Inspect(input(text)); err != nil {
			t.Fatal(err)
		}
	}
	// What a goroutine left behind would do is over by then, or it stays.
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before {
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	}
	for _, p := range ports {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			t.Errorf("Port %d is taken: %v", p, err)
			continue
		}
		ln.Close()
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("Files %v, %v; want the zone alone", all, err)
	}
	if got := pools(); len(got) > 0 {
		t.Errorf("Pools %v", got)
	}
}

// TestInspectIsAlone: a second one would get what the first reads.
func TestInspectIsAlone(t *testing.T) {
	if !inspecting.CompareAndSwap(nil, new(inspection)) {
		t.Fatal("Somebody inspects")
	}
	defer inspecting.Store(nil)
	if _, err := Inspect(input("example.org {\n errors\n}")); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("Got %v", err)
	}
}

// TestAskerAnswersNobody: what zones are asked comes from nowhere on the network.
func TestAskerAnswersNobody(t *testing.T) {
	var a asker
	if err := a.WriteMsg(new(dns.Msg)); err != nil || a.answer == nil || !net.ParseIP("127.0.0.1").Equal(a.RemoteAddr().(*net.UDPAddr).IP) {
		t.Errorf("Got %v, %v", err, a)
	}
}
