//go:build interop

package test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestSignedCut: a service name that is a zone of its own validates with keys of its own. Where the zone around it signs it
// too, validators see that one zone alone: they believe SOA and NS records only if they are signed by the zone whose they are.
// Denials of names are NODATA, as the dnssec plugin has it.
func TestSignedCut(t *testing.T) {
	const below = "nobody._vlmcs._tcp.corp.example.org."
	type question struct {
		name, qtype string
		records     int
	}
	questions := []question{
		{service, "SRV", 2},
		{service, "TXT", 0},
		{service, "A", 0},
		{below, "A", 0},
		{below, "SOA", 0},
		{"nobody." + below, "SRV", 0},
	}
	for name, tt := range map[string]struct {
		zone, behind string
		apex         int // SOA records of the service name
	}{
		"over a zone": {"corp.example.org", "file $ZONE", 0},
		"delegated":   {"_vlmcs._tcp.corp.example.org", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			keys := makeKeys(t, tt.zone, signings["one ECDSA key for everything"]...)
			kms1, kms2 := startHost(t), startHost(t)
			s := startServer(t, tt.zone+`:$PORT {
				bind 127.0.0.1
				errors
				cache
				dnssec {
					key file $KEYS
				}
				kms {
					host kms1.corp.example.org:$KMS1 address 127.0.0.1
					host kms2.corp.example.org:$KMS2 priority 1 address 127.0.0.1
					ns ns1.corp.example.org ns2.corp.example.org
				}
				`+tt.behind+`
			}`, "$KEYS", keys.files, "$ZONE", bareZone(t, "corp.example.org"), "$KMS1", kms1.number(), "$KMS2", kms2.number())
			awaitUp(t, tt.zone, 2)
			anchors := keys.anchorFile(t)
			resolvers := map[string]*server{
				"unbound": startUnbound(t, s, tt.zone, keys.anchor),
				"BIND":    validatingNamed(t, s, tt.zone, keys.anchor).server,
			}
			for _, q := range append([]question{{service, "SOA", tt.apex}, {service, "NS", 2 * tt.apex}}, questions...) {
				t.Run(q.name+" "+q.qtype, func(t *testing.T) {
					out, _ := program(t, "delv", "@"+s.host(), "-p", strconv.Itoa(int(s.port)), "-a", anchors, "+root="+tt.zone, q.name, q.qtype)
					verdict := "; fully validated"
					if q.records == 0 {
						verdict = "; negative response, fully validated"
					}
					if !slices.Contains(strings.Split(out, "\n"), verdict) {
						t.Errorf("Got no %q from delv:\n%s", verdict, out)
					}
					for name, resolver := range resolvers {
						r := resolver.dig(t, "+dnssec", q.name, q.qtype)
						if got := len(ofType(r.answer(), dns.StringToType[q.qtype])); r.status != "NOERROR" || !r.has("ad") || got != q.records {
							t.Errorf("Got status %s, flags %v, %d records through %s\n%s", r.status, r.flags, got, name, r.text)
						}
					}
				})
			}
		})
	}
}

// validatingNamed is BIND as a resolver that asks s for everything, and trusts anchor for zone.
func validatingNamed(t *testing.T, s *server, zone string, anchor *dns.DNSKEY) *daemon {
	t.Helper()
	return startNamed(t, &server{port: freePort(t)},
		fmt.Sprintf("recursion yes; dnssec-validation yes; forward only; forwarders { 127.0.0.1 port %d; };", s.port),
		fmt.Sprintf(`trust-anchors { "%s" static-key %d %d %d "%s"; };`, zone, anchor.Flags, anchor.Protocol, anchor.Algorithm, anchor.PublicKey))
}
