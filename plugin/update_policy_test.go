package plugin

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/config"

	"github.com/miekg/dns"
)

// TestUpdatePolicy has who may announce and take back what (RFC 2136 3.3, design section 7).
func TestUpdatePolicy(t *testing.T) {
	const (
		nine  = "kms9.example.org:1688/0/0 by address 192.0.2.9"
		eight = "kms8.example.org:1688/0/0 by address 192.0.2.8"
	)
	nineSent := sent{changes: service("kms9.example.org.")}
	eightSent := sent{from: "192.0.2.8", changes: service("kms8.example.org.")}
	address := func(name, a string) string {
		if strings.Contains(a, ":") {
			return name + " 60 IN AAAA " + a
		}
		return name + " 60 IN A " + a
	}
	join := func(lines ...string) string { return strings.Join(lines, "; ") }
	for name, tt := range map[string]struct {
		before []sent // accepted all
		sent
		rcode  int
		result updateResult // not looked at if accepted
		why    string       // a part of it
		after  string       // what is announced, with "; " between
	}{
		"a host announces itself": {sent: nineSent, after: nine},
		"in whatever case": {sent: sent{zone: "EXAMPLE.org.",
			changes: "_VLMCS._TCP.Example.ORG. 60 IN SRV 0 0 1688 KMS9.Example.Org."}, after: nine},
		"over TCP": {sent: sent{tcp: true, changes: nineSent.changes}, after: nine},
		"in the zone of the service name": {sent: sent{zone: "_vlmcs._tcp.example.org.", changes: nineSent.changes},
			after: nine},
		"with priority, weight and port": {sent: sent{changes: "_vlmcs._tcp.example.org. 60 IN SRV 65535 65535 65535 kms9.example.org."},
			after: "kms9.example.org:65535/65535/65535 by address 192.0.2.9"},
		"by one address of several": {sent: sent{from: "2001:db8::8", changes: eightSent.changes},
			after: "kms8.example.org:1688/0/0 by address 2001:db8::8"},
		"by its address in the zone behind": {sent: sent{from: "192.0.2.5", changes: service("kms5.example.org.")},
			after: "kms5.example.org:1688/0/0 by address 192.0.2.5"},
		"by an alias in the zone behind": {sent: sent{from: "192.0.2.5", changes: service("alias.example.org.")},
			after: "alias.example.org:1688/0/0 by address 192.0.2.5"},
		"by its address in the Corefile": {sent: sent{from: "192.0.2.1",
			changes: "_vlmcs._tcp.example.org. 60 IN SRV 0 0 1689 kms1.example.org."},
			after: "kms1.example.org:1689/0/0 by address 192.0.2.1"},
		"a foreign target that is the sender": {sent: sent{changes: service("kms9.example.com.")},
			after: "kms9.example.com:1688/0/0 by address 192.0.2.9"},
		"a foreign target that is not": {sent: sent{from: "192.0.2.8", changes: service("kms9.example.com.")},
			rcode: dns.RcodeRefused, why: "192.0.2.8 is not kms9.example.com.: has [192.0.2.9]"},
		"another host": {sent: sent{changes: service("kms8.example.org.")}, rcode: dns.RcodeRefused,
			why: "192.0.2.9 is not kms8.example.org.: has [192.0.2.8 2001:db8::8]"},
		"another host of the zone behind": {sent: sent{changes: service("kms5.example.org.")}, rcode: dns.RcodeRefused,
			why: "is not kms5.example.org."},
		"a host without an address": {sent: sent{changes: service("kms7.example.org.")}, rcode: dns.RcodeRefused,
			why: "no such host"},
		"a host whose address is not known now": {sent: sent{changes: service("slow.example.org.")},
			rcode:  dns.RcodeServerFailure,
			result: updateFailed, why: "i/o timeout"},
		"itself and another": {sent: sent{changes: join(service("kms9.example.org."), service("kms8.example.org."))},
			rcode: dns.RcodeRefused, why: "is not kms8"},
		"from elsewhere": {sent: sent{from: "203.0.113.9", changes: nineSent.changes}, rcode: dns.RcodeRefused,
			why: `in no network of "allow"`},
		"strangers learn nothing": {sent: sent{from: "203.0.113.9", prerequisites: "_vlmcs._tcp.example.org. 0 NONE SRV"},
			rcode: dns.RcodeRefused,
			why:   `in no network of "allow"`},
		"an unknown key from elsewhere": {sent: sent{from: "203.0.113.9", key: "other.", changes: nineSent.changes},
			rcode: dns.RcodeRefused, why: "neither key other. nor 203.0.113.9"},
		"an unknown key is as good as none": {sent: sent{key: "other.", changes: nineSent.changes}, after: nine},
		"an unknown key is for itself alone too": {sent: sent{key: "other.", changes: service("kms8.example.org.")},
			rcode: dns.RcodeRefused, why: "is not kms8"},
		"a key, whatever host from wherever": {sent: sent{from: "203.0.113.9", key: "any.",
			changes: service("kms8.example.org.")}, after: "kms8.example.org:1688/0/0 by key any."},
		"a key in another case": {sent: sent{from: "203.0.113.9", key: "ANY.",
			changes: service("kms8.example.org.")}, after: "kms8.example.org:1688/0/0 by key any."},
		"a key for a host that does not resolve": {sent: sent{key: "any.", changes: service("kms7.example.org.")},
			after: "kms7.example.org:1688/0/0 by key any."},
		"a key for a name that is a pattern": {sent: sent{from: "203.0.113.9", key: "corp.", changes: nineSent.changes},
			after: "kms9.example.org:1688/0/0 by key corp."},
		"a key for a name below a pattern": {sent: sent{key: "corp.", changes: service("a.b.corp.example.org.")},
			after: "a.b.corp.example.org:1688/0/0 by key corp."},
		"a key for the name of a pattern": {sent: sent{key: "corp.", changes: service("corp.example.org.")},
			rcode: dns.RcodeRefused, why: "key corp. is not for corp.example.org."},
		"a key for another name": {sent: sent{from: "192.0.2.8", key: "corp.", changes: eightSent.changes},
			rcode: dns.RcodeRefused, why: "key corp. is not for kms8.example.org."},
		"a key from its network": {sent: sent{from: "198.51.100.1", key: "near.", changes: nineSent.changes},
			after: "kms9.example.org:1688/0/0 by key near."},
		"a key from elsewhere": {sent: sent{from: "203.0.113.9", key: "near.", changes: nineSent.changes},
			rcode: dns.RcodeRefused, why: "neither key near. nor"},

		"port 0": {sent: sent{changes: "_vlmcs._tcp.example.org. 60 IN SRV 0 0 0 kms9.example.org."}, rcode: dns.RcodeRefused, why: "port 0"},
		"no target": {sent: sent{key: "any.", changes: service(".")}, rcode: dns.RcodeRefused,
			why: "not a host name"},
		"an IPv4 address as target": {sent: sent{key: "any.", changes: service("192.0.2.9.")},
			rcode: dns.RcodeRefused, why: "neither a host name nor an IP address"},
		"a target of one label": {sent: sent{key: "any.", changes: service("kms9.")}, rcode: dns.RcodeRefused,
			why: "not fully qualified"},
		"a target that is no host name": {sent: sent{key: "any.", changes: service("k_ms.example.org.")},
			rcode: dns.RcodeRefused, why: "not a host name"},
		"a target with a line feed": {sent: sent{key: "any.", changes: service(`k\010ms.example.org.`)},
			rcode: dns.RcodeRefused, why: "not a host name"},
		"the responder of this server": {sent: sent{key: "any.", changes: service("gate.example.org.")},
			rcode: dns.RcodeRefused, why: "responder of this server"},
		"a text": {sent: sent{key: "any.", changes: "_vlmcs._tcp.example.org. 60 IN TXT one"},
			rcode: dns.RcodeRefused, why: "only SRV records are announced there"},
		"an alias": {sent: sent{key: "any.",
			changes: "_vlmcs._tcp.example.org. 60 IN CNAME kms9.example.org."}, rcode: dns.RcodeRefused,
			why: "only SRV records are announced there"},
		"an address at the service name": {sent: sent{key: "any.", changes: "_vlmcs._tcp.example.org. 60 IN A 192.0.2.9"},
			rcode: dns.RcodeRefused, why: "only SRV records are announced there"},
		"a service below the service name": {sent: sent{key: "any.",
			changes: "a._vlmcs._tcp.example.org. 60 IN SRV 0 0 1688 kms9.example.org."}, rcode: dns.RcodeRefused,
			why: "only SRV records at"},
		"an address below the service name": {sent: sent{key: "any.",
			changes: "a._vlmcs._tcp.example.org. 60 IN A 192.0.2.9"}, rcode: dns.RcodeRefused, why: "not a host name"},
		"a text with data that is not there goes": {sent: sent{key: "any.", changes: "_vlmcs._tcp.example.org. 0 NONE TXT one"}},
		"a text that is not there goes":           {sent: sent{key: "any.", changes: "_vlmcs._tcp.example.org. 0 ANY TXT"}},
		"with a name that is no host's":           {sent: sent{changes: join(nineSent.changes, "_ldap._tcp.example.org. 60 IN SRV 0 0 389 dc.example.org.")}, rcode: dns.RcodeRefused, why: "for other names than those of KMS hosts too"},
		"with a record of another type": {sent: sent{changes: join(nineSent.changes, "kms9.example.org. 60 IN TXT one")},
			rcode: dns.RcodeRefused, why: "for other names"},
		"with a name of another zone": {sent: sent{changes: join(nineSent.changes, address("kms9.example.com.", "192.0.2.9"))}, rcode: dns.RcodeNotZone, result: updateMalformed, why: "not in zone example.org."},
		"the zone of the service has no more": {sent: sent{zone: "_vlmcs._tcp.example.org.",
			changes: join(nineSent.changes, address("kms9.example.org.", "192.0.2.9"))},
			rcode: dns.RcodeNotZone, result: updateMalformed, why: "not in zone _vlmcs._tcp.example.org."},

		"a fourth host": {before: []sent{nineSent, eightSent, {from: "192.0.2.5", changes: service("kms5.example.org.")}},
			sent: sent{key: "any.", changes: service("kms4.example.org.")}, rcode: dns.RcodeRefused,
			result: updateBeyondLimit, why: `"max" of the update block`,
			after: join("kms5.example.org:1688/0/0 by address 192.0.2.5", eight, nine)},
		"a fourth host in the place of the third": {before: []sent{nineSent, eightSent, {from: "192.0.2.5",
			changes: service("kms5.example.org.")}},
			sent:  sent{key: "any.", changes: join(service("kms4.example.org."), unservice("kms5.example.org."))},
			after: join("kms4.example.org:1688/0/0 by key any.", eight, nine)},
		"no host with too many": {sent: sent{key: "any.",
			changes: join(service("a.example.org."), service("b.example.org."), service("c.example.org."), service("d.example.org."))},
			rcode: dns.RcodeRefused, result: updateBeyondLimit},
		"64 records": {sent: sent{changes: join(slices.Repeat([]string{nineSent.changes}, 64)...)}, after: nine},
		"65 records": {sent: sent{changes: join(slices.Repeat([]string{nineSent.changes}, 64)...),
			prerequisites: "_vlmcs._tcp.example.org. 0 ANY SRV"}, rcode: dns.RcodeRefused,
			result: updateBeyondLimit, why: "65 records in one UPDATE: at most 64"},

		"a host again": {before: []sent{nineSent}, sent: nineSent, after: nine},
		"a host again with another priority": {before: []sent{nineSent},
			sent:  sent{changes: "_vlmcs._tcp.example.org. 60 IN SRV 1 2 1688 kms9.example.org."},
			after: "kms9.example.org:1688/1/2 by address 192.0.2.9"},
		"another host again": {before: []sent{nineSent}, sent: sent{from: "192.0.2.8",
			changes: nineSent.changes}, rcode: dns.RcodeRefused, why: "192.0.2.8 is not kms9", after: nine},
		"another host with another priority": {before: []sent{nineSent}, sent: sent{from: "192.0.2.8",
			changes: "_vlmcs._tcp.example.org. 60 IN SRV 1 2 1688 kms9.example.org."}, rcode: dns.RcodeRefused,
			why: "announced by address 192.0.2.9", after: nine},
		"from another of its addresses": {before: []sent{eightSent}, sent: sent{from: "2001:db8::8",
			changes: eightSent.changes}, after: "kms8.example.org:1688/0/0 by address 2001:db8::8"},
		"a host takes itself back": {before: []sent{nineSent},
			sent: sent{changes: unservice("KMS9.example.org.")}},
		"a host takes another back": {before: []sent{nineSent}, sent: sent{from: "192.0.2.8",
			changes: unservice("kms9.example.org.")}, rcode: dns.RcodeRefused,
			why: "kms9.example.org:1688 was announced by address 192.0.2.9", after: nine},
		"with another priority nothing goes": {before: []sent{nineSent},
			sent: sent{changes: "_vlmcs._tcp.example.org. 0 NONE SRV 5 0 1688 kms9.example.org."}, after: nine},
		"a key takes a host back": {before: []sent{nineSent}, sent: sent{key: "corp.",
			changes: unservice("kms9.example.org.")}},
		"a key takes another host back": {before: []sent{eightSent}, sent: sent{key: "corp.",
			changes: unservice("kms8.example.org.")}, rcode: dns.RcodeRefused, why: "announced by address 192.0.2.8",
			after: eight},
		"a host takes back what a key has of it": {before: []sent{{key: "any.", changes: service("kms9.example.org.")}},
			sent: sent{changes: unservice("kms9.example.org.")}},
		"what a key announced of another stays": {before: []sent{{key: "any.", changes: service("kms8.example.org.")}},
			sent: sent{changes: unservice("kms8.example.org.")}, rcode: dns.RcodeRefused,
			why: "announced by key any.", after: "kms8.example.org:1688/0/0 by key any."},
		"the whole RRset while it has others": {before: []sent{nineSent, eightSent},
			sent: sent{changes: "_vlmcs._tcp.example.org. 0 ANY SRV"}, rcode: dns.RcodeRefused,
			why: "kms1.example.org:1688 is a host of the Corefile", after: join(eight, nine)},
		"the whole name": {before: []sent{nineSent}, sent: sent{key: "any.",
			changes: "_vlmcs._tcp.example.org. 0 ANY ANY"}, rcode: dns.RcodeRefused, why: "a host of the Corefile",
			after: nine},
		"a host of the Corefile": {sent: sent{key: "any.", changes: unservice("kms1.example.org.")},
			rcode: dns.RcodeRefused, why: "kms1.example.org:1688 is a host of the Corefile, which no UPDATE changes"},
		"a host of the Corefile otherwise": {sent: sent{key: "any.",
			changes: "_vlmcs._tcp.example.org. 60 IN SRV 1 0 1688 kms1.example.org."}, rcode: dns.RcodeRefused,
			why: "a host of the Corefile"},
		"a host of the Corefile as it is": {sent: sent{changes: service("kms1.example.org.")}},
		"one without a name as it is":     {sent: sent{changes: service("kms-192-0-2-7.example.org.")}},
		"one without a name": {sent: sent{key: "any.", changes: unservice("kms-192-0-2-7.example.org.")},
			rcode: dns.RcodeRefused, why: "a host of the Corefile"},
		"all deleted and added again": {before: []sent{nineSent},
			sent: sent{changes: join("_vlmcs._tcp.example.org. 0 ANY SRV", service("kms1.example.org."),
				service("kms-192-0-2-7.example.org."), nineSent.changes)}, after: nine},
		"a host that renames itself": {before: []sent{nineSent, {changes: service("kms9.example.com.")}},
			sent: sent{changes: join(unservice("kms9.example.com."), nineSent.changes)}, after: nine},

		"a host announces its address too": {sent: sent{from: "192.0.2.77",
			changes: join(address("kms7.example.org.", "192.0.2.77"), service("kms7.example.org."))},
			after: "kms7.example.org. 192.0.2.77; kms7.example.org:1688/0/0 by address 192.0.2.77"},
		"a host announces its address behind it": {sent: sent{from: "192.0.2.77",
			changes: join(service("kms7.example.org."), address("kms7.example.org.", "192.0.2.77"))},
			after: "kms7.example.org. 192.0.2.77; kms7.example.org:1688/0/0 by address 192.0.2.77"},
		"a host announces its address first": {before: []sent{{from: "2001:db8::77",
			changes: address("KMS7.example.org.", "2001:db8::77")}},
			sent:  sent{from: "2001:db8::77", changes: service("kms7.example.org.")},
			after: "kms7.example.org. 2001:db8::77; kms7.example.org:1688/0/0 by address 2001:db8::77"},
		"as Windows announces an address": {sent: sent{prerequisites: "kms9.example.org. 0 NONE CNAME",
			changes: join("kms9.example.org. 0 ANY A", address("kms9.example.org.", "192.0.2.9"))},
			after: "kms9.example.org. 192.0.2.9"},
		"another's address": {sent: sent{changes: address("kms9.example.org.", "192.0.2.8")},
			rcode: dns.RcodeRefused, why: "192.0.2.9 may announce its own address alone"},
		"its address with another": {sent: sent{changes: join(address("kms9.example.org.", "192.0.2.9"), address("kms9.example.org.", "2001:db8::9"))}, rcode: dns.RcodeRefused, why: "its own address alone"},
		"another's address by a key": {sent: sent{key: "corp.", changes: address("kms9.example.org.", "203.0.113.7")},
			after: "kms9.example.org. 203.0.113.7"},
		"an address beyond a key": {sent: sent{key: "corp.", changes: address("kms8.example.org.", "192.0.2.8")},
			rcode: dns.RcodeRefused, why: "key corp. is not for kms8"},
		"the address of no machine": {sent: sent{key: "any.", changes: address("kms9.example.org.", "0.0.0.0")},
			rcode: dns.RcodeRefused, why: "not the address of one machine"},
		"the address of many machines": {sent: sent{key: "any.", changes: address("kms9.example.org.", "ff02::1")},
			rcode: dns.RcodeRefused, why: "not the address of one machine"},
		"IPv4 in IPv6": {sent: sent{key: "any.", changes: address("kms9.example.org.", "::ffff:192.0.2.9")},
			rcode: dns.RcodeRefused, why: "not the address of one machine"},
		"a name that others have elsewhere": {sent: sent{changes: address("kms8.example.org.", "192.0.2.9")},
			rcode: dns.RcodeRefused,
			why:   "kms8.example.org. has [192.0.2.8 2001:db8::8] elsewhere"},
		"a name that somebody else announced": {before: []sent{{from: "192.0.2.77",
			changes: address("kms7.example.org.", "192.0.2.77")}},
			sent:  sent{changes: address("kms7.example.org.", "192.0.2.9")},
			rcode: dns.RcodeRefused, why: "kms7.example.org. has 192.0.2.77 already, announced by address 192.0.2.77",
			after: "kms7.example.org. 192.0.2.77"},
		"in the place of somebody else": {before: []sent{{from: "192.0.2.77",
			changes: address("kms7.example.org.", "192.0.2.77")}},
			sent:  sent{changes: join("kms7.example.org. 0 ANY A", address("kms7.example.org.", "192.0.2.9"))},
			rcode: dns.RcodeRefused, why: "kms7.example.org 192.0.2.77 was announced by address 192.0.2.77",
			after: "kms7.example.org. 192.0.2.77"},
		"the host of a name that somebody else announced": {before: []sent{{from: "192.0.2.77",
			changes: address("kms7.example.org.", "192.0.2.77")}},
			sent: sent{changes: service("kms7.example.org.")}, rcode: dns.RcodeRefused,
			why: "192.0.2.9 is not kms7.example.org.: has [192.0.2.77]", after: "kms7.example.org. 192.0.2.77"},
		"an address is taken back": {before: []sent{{from: "192.0.2.77",
			changes: address("kms7.example.org.", "192.0.2.77")}},
			sent: sent{from: "192.0.2.77", changes: "kms7.example.org. 0 ANY ANY"}},
		"an address of somebody else is taken back by a key": {before: []sent{{from: "192.0.2.77",
			changes: address("kms7.example.org.", "192.0.2.77")}},
			sent: sent{key: "any.", changes: "kms7.example.org. 0 NONE A 192.0.2.77"}},
		"an address that a key announced is taken back by it": {before: []sent{{key: "any.",
			changes: address("kms9.example.org.", "192.0.2.9")}},
			sent: sent{changes: "kms9.example.org. 0 ANY A"}},
		"an address that a key announced is not taken back by another": {before: []sent{{key: "any.",
			changes: address("kms9.example.org.", "192.0.2.9")}},
			sent: sent{from: "192.0.2.8", changes: "kms9.example.org. 0 ANY A"}, rcode: dns.RcodeRefused,
			why: "announced by key any.", after: "kms9.example.org. 192.0.2.9"},
		"what the zone behind has, as it is": {sent: sent{from: "192.0.2.5",
			changes: address("kms5.example.org.", "192.0.2.5")}},
		"what the zone behind has, again": {sent: sent{from: "192.0.2.5",
			changes: join("kms5.example.org. 0 ANY A", address("kms5.example.org.", "192.0.2.5"))}},
		"what the zone behind has, otherwise": {sent: sent{key: "any.",
			changes: address("kms5.example.org.", "192.0.2.9")}, rcode: dns.RcodeRefused,
			why: "has records behind this plugin"},
		"what the zone behind has, no more": {sent: sent{key: "any.", changes: "kms5.example.org. 0 ANY A"},
			rcode: dns.RcodeRefused, why: "is a record behind this plugin, which no UPDATE changes"},
		"what the zone behind has, nothing of": {sent: sent{key: "any.", changes: "text.example.org. 0 ANY ANY"},
			rcode: dns.RcodeRefused, why: "has records behind this plugin"},
		"a name that has something else behind": {sent: sent{changes: address("text.example.org.", "192.0.2.9")},
			rcode: dns.RcodeRefused, why: "has records behind this plugin"},
		"a name that is an alias behind": {sent: sent{changes: address("alias.example.org.", "192.0.2.9")},
			rcode: dns.RcodeRefused, why: "has records behind this plugin"},
		"the address of a host of the Corefile": {sent: sent{key: "any.",
			changes: address("kms1.example.org.", "192.0.2.9")}, rcode: dns.RcodeRefused,
			why: "a host of the Corefile, whose addresses nobody announces"},
		"the address of one without a name": {sent: sent{key: "any.",
			changes: address("kms-192-0-2-7.example.org.", "192.0.2.9")}, rcode: dns.RcodeRefused,
			why: "a host of the Corefile"},
		"the address of the responder": {sent: sent{key: "any.",
			changes: address("gate.example.org.", "192.0.2.9")}, rcode: dns.RcodeRefused,
			why: "the responder of this server"},
		"the address of a name server": {sent: sent{key: "any.", changes: address("ns1.example.org.", "192.0.2.9")},
			rcode: dns.RcodeRefused, why: "a name server of the Corefile"},
		"the address of the zone": {sent: sent{key: "any.", changes: address("example.org.", "192.0.2.9")},
			rcode: dns.RcodeRefused, why: "a zone of the Corefile"},
		"a name of one label below": {sent: sent{key: "any.",
			changes: address("_kms.example.org.", "192.0.2.9")}, rcode: dns.RcodeNotAuth, result: updateNotAuth},
		"a ninth address": {sent: sent{key: "any.",
			changes: join(address("a.example.org.", "192.0.2.1"), address("a.example.org.", "192.0.2.2"), address("a.example.org.", "192.0.2.3"),
				address("a.example.org.", "192.0.2.4"), address("a.example.org.", "192.0.2.5"), address("a.example.org.", "192.0.2.6"), address("a.example.org.", "192.0.2.7"),
				address("a.example.org.", "192.0.2.8"), address("a.example.org.", "192.0.2.9"))}, rcode: dns.RcodeRefused, result: updateBeyondLimit, why: "a host has at most that many"},

		"a host of the zone behind has an address": {sent: sent{prerequisites: "kms5.example.org. 0 IN A 192.0.2.5",
			changes: nineSent.changes}, after: nine},
		"a host of the zone behind has another": {sent: sent{prerequisites: "kms5.example.org. 0 IN A 192.0.2.6",
			changes: nineSent.changes}, rcode: dns.RcodeNXRrset, result: updatePrerequisite},
		"a name of the zone behind is in use": {sent: sent{prerequisites: "text.example.org. 0 ANY ANY",
			changes: nineSent.changes}, after: nine},
		"a name of the zone behind is not in use": {sent: sent{prerequisites: "text.example.org. 0 NONE ANY",
			changes: nineSent.changes}, rcode: dns.RcodeYXDomain, result: updatePrerequisite},
		"a name that nobody has is not in use": {sent: sent{prerequisites: "no.example.org. 0 NONE ANY",
			changes: nineSent.changes}, after: nine},
		"a record of another type of the zone": {sent: sent{prerequisites: "www.example.org. 0 IN TXT one",
			changes: nineSent.changes}, after: nine},
		"hosts of the Corefile and claims are there": {before: []sent{nineSent},
			sent: sent{prerequisites: "_vlmcs._tcp.example.org. 0 IN SRV 0 0 1688 kms1.example.org.; _vlmcs._tcp.example.org. 0 IN SRV 0 0 1688 kms-192-0-2-7.example.org.; _vlmcs._tcp.example.org. 0 IN SRV 0 0 1688 kms9.example.org."}, after: nine},
		"a claim that is not there":      {sent: sent{prerequisites: "_vlmcs._tcp.example.org. 0 IN SRV 0 0 1688 kms1.example.org.; _vlmcs._tcp.example.org. 0 IN SRV 0 0 1688 kms9.example.org."}, rcode: dns.RcodeNXRrset, result: updatePrerequisite},
		"a made-up name has its address": {sent: sent{prerequisites: "kms-192-0-2-7.example.org. 0 IN A 192.0.2.7", changes: nineSent.changes}, after: nine},
		"an announced address is there": {before: []sent{{changes: address("kms9.example.org.", "192.0.2.9")}},
			sent:  sent{prerequisites: "kms9.example.org. 0 ANY A", changes: nineSent.changes},
			after: join("kms9.example.org. 192.0.2.9", nine)},
		"an announced address is not there": {before: []sent{{changes: address("kms9.example.org.", "192.0.2.9")}},
			sent: sent{prerequisites: "kms9.example.org. 0 NONE ANY", changes: nineSent.changes}, rcode: dns.RcodeYXDomain,
			result: updatePrerequisite, after: "kms9.example.org. 192.0.2.9"},
		"prerequisites before permission": {sent: sent{prerequisites: "no.example.org. 0 ANY ANY",
			changes: service("kms8.example.org.")}, rcode: dns.RcodeNameError, result: updatePrerequisite},
		"permission before the form":  {sent: sent{changes: join("_vlmcs._tcp.example.org. 60 IN TXT one", "_vlmcs._tcp.example.org. 1 ANY SRV")}, rcode: dns.RcodeRefused, why: "only SRV"},
		"the form before whose it is": {sent: sent{changes: join(service("kms8.example.org."), "_vlmcs._tcp.example.org. 1 ANY SRV")}, rcode: dns.RcodeFormatError, result: updateMalformed},
		"only prerequisites":          {sent: sent{prerequisites: "_vlmcs._tcp.example.org. 0 ANY SRV"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := settings()
			w := newUpdateWorld(t, &u, "kms1.example.org=up@192.0.2.1 192.0.2.7=up")
			w.updates.names.advertised["gate.example.org."] = true
			w.updates.names.reserved["gate.example.org."] = "the responder of this server"
			w.updates.names.reserved["ns1.example.org."] = "a name server of the Corefile"
			for _, s := range tt.before {
				if m := w.send(t, s); m.Rcode != dns.RcodeSuccess {
					t.Fatalf("Got %s before", dns.RcodeToString[m.Rcode])
				}
			}
			result := tt.result
			if tt.rcode == dns.RcodeRefused && result == updateAccepted {
				result = updateNotPermitted
			}
			counted := count(t, result)
			m := w.send(t, tt.sent)
			var reason string
			if all := w.site.Registry.Attempts(); len(all) > 0 {
				reason = all[0].Reason
			}
			if m.Rcode != tt.rcode || !strings.Contains(reason, tt.why) {
				t.Errorf("Got %s, %q, want %s, %q", dns.RcodeToString[m.Rcode], reason, dns.RcodeToString[tt.rcode], tt.why)
			}
			if tt.rcode != dns.RcodeSuccess && tt.rcode != dns.RcodeNotAuth && count(t, result) != counted+1 {
				t.Errorf("It is not counted as %s", result)
			}
			if got := w.state(); strings.Join(got, "; ") != tt.after {
				t.Errorf("Got %q announced, want %q", got, tt.after)
			}
		})
	}
}

// TestNoHostInCorefile: where all hosts announced themselves, the RRset is deleted by whom all of it belongs to.
func TestNoHostInCorefile(t *testing.T) {
	const nine, eight = "kms9.example.org:1688/0/0 by address 192.0.2.9", "kms8.example.org:1688/0/0 by address 192.0.2.8"
	for name, tt := range map[string]struct {
		sent
		rcode int
		after []string
	}{
		"not by one of two": {sent: sent{changes: "_vlmcs._tcp.example.org. 0 ANY SRV"}, rcode: dns.RcodeRefused,
			after: []string{eight, nine}},
		"nor the name": {sent: sent{changes: "_vlmcs._tcp.example.org. 0 ANY ANY"}, rcode: dns.RcodeRefused,
			after: []string{eight, nine}},
		"by a key": {sent: sent{key: "any.", changes: "_vlmcs._tcp.example.org. 0 ANY SRV"}},
		"not by a key that is not for both": {sent: sent{key: "corp.", changes: "_vlmcs._tcp.example.org. 0 ANY SRV"},
			rcode: dns.RcodeRefused,
			after: []string{eight, nine}},
		"but for the other": {sent: sent{changes: "_vlmcs._tcp.example.org. 0 ANY SRV; " + service("kms8.example.org.")},
			rcode: dns.RcodeRefused,
			after: []string{eight, nine}},
		"the zone of the service": {sent: sent{zone: "_vlmcs._tcp.example.org.", key: "any.",
			changes: "_vlmcs._tcp.example.org. 0 ANY ANY"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := settings()
			w := newUpdateWorld(t, &u, "")
			w.send(t, sent{changes: service("kms9.example.org.")})
			w.send(t, sent{from: "192.0.2.8", changes: service("kms8.example.org.")})
			if m := w.send(t, tt.sent); m.Rcode != tt.rcode || !slices.Equal(w.state(), tt.after) {
				t.Errorf("Got %s and %q, want %s and %q", dns.RcodeToString[m.Rcode], w.state(), dns.RcodeToString[tt.rcode], tt.after)
			}
			w.resolver["kms8.example.org."] = "192.0.2.9" // it is that host now
			if m := w.send(t, sent{changes: "_vlmcs._tcp.example.org. 0 ANY SRV"}); m.Rcode != dns.RcodeSuccess || len(w.state()) != 0 {
				t.Errorf("Got %s and %q, want nothing left", dns.RcodeToString[m.Rcode], w.state())
			}
		})
	}
}

func TestHostNames(t *testing.T) {
	s := &Site{Block: config.Default()}
	s.Zones, s.NS = []string{"example.org.", "example.net."}, []string{"ns1.example.org."}
	responder := config.DefaultResponder()
	responder.Advertise.Name = "gate.example.org."
	s.Responder = &responder
	one, seven := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.7")
	s.Hosts = []config.Host{{Name: "kms1.example.org.", Port: 1688, Addresses: []netip.Addr{one}}, {Addresses: []netip.Addr{seven}, Port: 1688}}
	n := newHostNames([]*Site{s})
	want := []string{"example.net.", "example.org.", "gate.example.org.", "kms-192-0-2-7.example.net.", "kms-192-0-2-7.example.org.",
		"kms1.example.org.", "ns1.example.org."}
	if got := slices.Sorted(maps.Keys(n.reserved)); !slices.Equal(got, want) {
		t.Errorf("Got %q reserved, want %q", got, want)
	}
	if !n.advertised["gate.example.org."] || len(n.advertised) != 1 {
		t.Errorf("Got %v advertised", n.advertised)
	}
	if fmt.Sprint(n.given["kms1.example.org."], n.given["kms-192-0-2-7.example.net."], len(n.given)) != "[192.0.2.1] [192.0.2.7] 3" {
		t.Errorf("Got %v given", n.given)
	}
}
