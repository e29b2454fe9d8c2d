package plugin

import (
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// TestDoubtIsNoTTL: while a host is suspect answers have a short TTL, but the zone keeps the one that is configured.
func TestDoubtIsNoTTL(t *testing.T) {
	s := cutSite(t, "example.org.", "kms1.example.org=suspect 192.0.2.9=up")
	rrs, _ := s.Journals[serviceOrg].state.Load().stream(0)
	for _, rr := range rrs {
		if rr.Header().Ttl != 30 {
			t.Errorf("Got %s", rr)
		}
	}
	if got := shorthand(rrs[1 : len(rrs)-1]); got != "NS=ns1.example.org. NS=ns2.example.org. kms-192-0-2-9/0 kms1/1" {
		t.Errorf("Got %s", got)
	}
}

// TestZoneOfEachCondition: the zone has what the answer has.
func TestZoneOfEachCondition(t *testing.T) {
	const servers = "NS=ns1.example.org. NS=ns2.example.org."
	const made = "kms-192-0-2-9._vlmcs._tcp"
	for name, tt := range map[string]struct {
		zone, hosts string
		all         config.AllDown
		want        string
	}{
		"a host that is down is not in it": {"example.org.", "kms1.example.org=up kms2.example.org=down", config.Serve, " kms1/0"},
		"all down, serve":                  {"example.org.", "kms1.example.org=down kms2.example.org/1=down", config.Serve, " kms1/0"},
		"all down, nodata":                 {"example.org.", "kms1.example.org=down", config.NoData, ""},
		"all down, servfail":               {"example.org.", "kms1.example.org=down", config.ServFail, ""},
		"drained":                          {"example.org.", "kms1.example.org=drained", config.Serve, ""},
		"a made-up host outside of it":     {"example.org.", "192.0.2.9=up", config.Serve, " kms-192-0-2-9/0"},
		"and inside": {serviceOrg, "192.0.2.9=up", config.Serve,
			" " + made + "/0 " + made + ".example.org.=192.0.2.9"},
		"two ports, one address": {serviceOrg, "192.0.2.9=up 192.0.2.9:1689=up", config.Serve,
			" " + made + "/0 " + made + "/0 " + made + ".example.org.=192.0.2.9"},
		"its address stays while it is down": {serviceOrg, "kms1.example.org=up 192.0.2.9=down", config.Serve,
			" kms1/0 " + made + ".example.org.=192.0.2.9"},
	} {
		t.Run(name, func(t *testing.T) {
			s := cutSite(t, tt.zone, tt.hosts)
			s.AllDown = tt.all
			if got := shorthand(Feed{Site: s, Zone: tt.zone}.zone()); got != servers+tt.want {
				t.Errorf("Got %s\nwant %s", got, servers+tt.want)
			}
		})
	}
}
