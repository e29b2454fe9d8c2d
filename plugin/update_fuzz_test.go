package plugin

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/plugin/tsig"

	"github.com/coredns-kms/coredns-kms/internal/config"

	"github.com/miekg/dns"
)

// updateSeeds are UPDATEs of every kind, and what they are signed with.
var updateSeeds = map[string]sent{
	"announce": {changes: service("kms9.example.org.")},
	"address":  {changes: "kms7.example.org. 60 IN A 192.0.2.9; " + service("kms7.example.org.")},
	"address6": {key: "any.",
		changes: "kms7.example.org. 60 IN AAAA 2001:db8::9; kms7.example.org. 60 IN AAAA ::ffff:192.0.2.9"},
	"delete": {key: "any.",
		changes: "_vlmcs._tcp.example.org. 0 ANY SRV; _vlmcs._tcp.example.org. 0 ANY ANY; " + unservice("kms1.example.org.")},
	"corefile": {key: "any.",
		changes: "_vlmcs._tcp.example.org. 60 IN SRV 9 9 1688 kms1.example.org.; " + unservice("kms-192-0-2-7.example.org.")},
	"many": {key: "any.",
		changes: service("a.example.org.") + "; " + service("b.example.org.") + "; " + service("c.example.org.") + "; " + service("d.example.org.")},
	"prerequisites": {prerequisites: "www.example.org. 0 ANY ANY; www.example.org. 0 ANY A; no.example.org. 0 NONE ANY; www.example.org. 0 NONE MX; www.example.org. 0 IN TXT one", changes: service("kms9.example.org.")},
	"apex": {zone: "_vlmcs._tcp.example.org.", key: "any.",
		changes: "_vlmcs._tcp.example.org. 60 IN SOA a. b. 9 9 9 9 9; _vlmcs._tcp.example.org. 60 IN NS a.; _vlmcs._tcp.example.org. 0 NONE NS a."},
	"kinds": {key: "any.",
		changes: "_vlmcs._tcp.example.org. 60 IN CNAME a.; kms9.example.org. 60 IN TXT one; _vlmcs._tcp.example.org. 60 IN TYPE65280 \\# 1 00"},
	"meta": {changes: "_vlmcs._tcp.example.org. 0 ANY AXFR; _vlmcs._tcp.example.org. 0 NONE MAILB; _vlmcs._tcp.example.org. 60 CH SRV 0 0 1688 a."},
	"without_data": {key: "any.",
		changes: "_vlmcs._tcp.example.org. 60 IN SRV; kms9.example.org. 60 IN A; kms9.example.org. 60 IN AAAA; kms9.example.org. 0 NONE A"},
	"other_zone":     {zone: "example.com.", changes: service("kms9.example.org.")},
	"name_elsewhere": {changes: service("kms9.example.org.") + "; kms9.example.com. 60 IN A 192.0.2.9"},
	"announced_before": {key: "any.", prerequisites: "kms4.example.org. 0 ANY A",
		changes: "kms4.example.org. 0 ANY ANY; " + unservice("kms4.example.org.")},
}

// TestUpdateSeeds holds the committed corpus equal to the list above; KMS_SEEDS=write makes it so.
func TestUpdateSeeds(t *testing.T) {
	for name, s := range updateSeeds {
		m := s.message(t)
		m.Id = 1
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		want := dnsSeed(wire, s.key)
		path := filepath.Join("testdata", "fuzz", "FuzzUpdate", name)
		if os.Getenv("KMS_SEEDS") == "write" {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is not as it should be (%v): KMS_SEEDS=write go test -run TestUpdateSeeds", path, err)
		}
	}
}

// FuzzUpdate: whatever comes is answered once, and leaves no more claims than may be, each of them a host that the policy lets
// in, and the hosts of the Corefile as they were; what is not NOERROR leaves everything as it was.
func FuzzUpdate(f *testing.F) {
	u := settings()
	f.Fuzz(func(t *testing.T, wire []byte, key string) {
		m := new(dns.Msg)
		if m.Unpack(wire) != nil || m.Response {
			return
		}
		m.Opcode = dns.OpcodeUpdate
		w := newUpdateWorld(t, &u, "kms1.example.org=up@192.0.2.1 192.0.2.7=up")
		hosts := slices.Clone(w.site.Hosts)
		w.send(t, sent{key: "any.", changes: service("kms4.example.org.") + "; kms4.example.org. 60 IN A 192.0.2.44"})
		chain := tsig.TSIGServer{Zones: []string{"."}, Next: w.Handler}
		if m.IsTsig() == nil && (key == "any." || key == "corp.") {
			m.SetTsig(key, dns.HmacSHA256, 300, time.Now().Unix())
		}
		rec := &once{Recorder: dnstest.NewRecorder(&test.ResponseWriter{RemoteIP: "192.0.2.9", TCP: true})}
		before := w.site.Registry.Snapshot()
		if _, err := chain.ServeDNS(context.Background(), rec, m); err != nil || rec.replies != 1 {
			t.Fatalf("Got %d replies, %v to %s", rec.replies, err, m)
		}
		if got := rec.Msg; got.Id != m.Id || !got.Response || got.Opcode != dns.OpcodeUpdate {
			t.Errorf("Got %s to %s", got, m)
		}
		if after := w.site.Registry.Snapshot(); rec.Msg.Rcode != dns.RcodeSuccess &&
			(!reflect.DeepEqual(after.Claims, before.Claims) || !reflect.DeepEqual(after.Addresses, before.Addresses)) {
			t.Errorf("Refused with %s, and yet %+v became %+v", dns.RcodeToString[rec.Msg.Rcode], before, after)
		}
		checkAnnounced(t, w, u)
		if !slices.EqualFunc(w.site.Hosts, hosts, func(a, b config.Host) bool {
			return a.Endpoint() == b.Endpoint() && a.Priority == b.Priority && a.Weight == b.Weight
		}) {
			t.Errorf("Got hosts %v", w.site.Hosts)
		}
	})
}

// checkAnnounced looks for what no UPDATE may ever leave behind.
func checkAnnounced(t *testing.T, w *updateWorld, u config.Update) {
	t.Helper()
	s := w.site.Registry.Snapshot()
	if len(s.Claims) > u.Max {
		t.Errorf("Got %d claims, want at most %d", len(s.Claims), u.Max)
	}
	for _, c := range s.Claims {
		h := config.Host{Name: c.Target, Port: c.Port}
		configured := slices.ContainsFunc(w.site.Hosts, func(h config.Host) bool { return h.Endpoint() == c.Endpoint() })
		if err := h.Validate(); err != nil || configured {
			t.Errorf("Got claim %+v: %v", c, err)
		}
		self := c.Owner == "address 192.0.2.9" && slices.Contains(append(s.Addresses[c.Target], c.Hints...), netip.MustParseAddr("192.0.2.9"))
		if !self && c.Owner != "key any." && c.Owner != "key corp." {
			t.Errorf("Got claim %+v of nobody who may", c)
		}
	}
	for name, all := range s.Addresses {
		if w.updates.names.reserved[name] != "" || len(all) > config.MaxAddresses || config.ValidateHostName(name) != nil {
			t.Errorf("Got addresses %v of %s", all, name)
		}
	}
}
