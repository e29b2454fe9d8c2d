package kms

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coredns/caddy"

	"github.com/coredns-kms/coredns-kms/internal/config"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"
)

func parseText(text string, keys ...string) ([]*dnsface.Site, error) {
	c := caddy.NewTestController("dns", text)
	c.ServerBlockKeys = keys
	return parse(c)
}

func TestParse(t *testing.T) {
	sites, err := parseText(`kms corp.example.org {
		host KMS1.corp.example.org priority 0 weight 60
		host kms2.corp.example.org:1689 weight 40 address 192.0.2.2 address 2001:db8::2 key server-b
		host 192.0.2.3 priority 10
		ttl 15
		probe tcp interval 20s timeout 1s rise 3 fall 5
		all_down nodata
		rehearse 127.0.0.1:16881
		rehearse [::1]:16882
		fallthrough corp.example.org
	}
	kms example.net {
		host [2001:db8::9]:1690
	}`, "dns://example.org.:53", "example.net:53")
	if err != nil {
		t.Fatal(err)
	}
	b := sites[0].Block
	if fmt.Sprint(b.Zones) != "[corp.example.org.]" || len(sites) != 2 {
		t.Errorf("%d sites, zones %v", len(sites), b.Zones)
	}
	var hosts []string
	for _, h := range b.Hosts {
		hosts = append(hosts, fmt.Sprintf("%s %d %d %v %s", h.Endpoint(), h.Priority, h.Weight, h.Addresses, h.Key))
	}
	want := []string{
		"kms1.corp.example.org:1688 0 60 [] any",
		"kms2.corp.example.org:1689 0 40 [192.0.2.2 2001:db8::2] server-b",
		"192.0.2.3:1688 10 0 [192.0.2.3] any",
	}
	if strings.Join(hosts, ";") != strings.Join(want, ";") {
		t.Errorf("Hosts %q, want %q", hosts, want)
	}
	if b.TTL != 15*time.Second || b.AllDown != config.NoData || len(b.Rehearse) != 2 || b.Rehearse[0] != config.DefaultRehearse("127.0.0.1:16881") || b.Rehearse[1].Address != "[::1]:16882" {
		t.Errorf("Got %+v", b)
	}
	if p := b.Probe; p != (config.Probe{Kind: config.ProbeTCP, Interval: 20 * time.Second, Timeout: time.Second, Rise: 3, Fall: 5}) {
		t.Errorf("Probe %+v", p)
	}
	if !sites[0].Fall.Through("_vlmcs._tcp.corp.example.org.") || sites[1].Fall.Through("_vlmcs._tcp.example.net.") {
		t.Error("Fallthrough of the one block, and none of the other, expected")
	}
	d := config.Default()
	if b := sites[1].Block; b.TTL != d.TTL || b.Probe != d.Probe || b.AllDown != config.Serve {
		t.Errorf("Without properties: %+v", b)
	}
}

func TestParseResponder(t *testing.T) {
	sites, err := parseText(`kms example.org {
		host kms1.example.org
		responder {
		}
		rehearse 127.0.0.1:1 {
			secret "a word of the site's"
			group server-a
			activation_interval 30m
			renewal_interval 24h
		}
		ttl 10s
	}
	kms example.net {
		responder 192.0.2.1:1689 {
			allow 192.0.2.0/24 2001:db8::1
			policy spread
			warm 25
			advertise Node.example.net priority 1 weight 2
			budget 5s
			limit connections 10 client 2
			limit rate 3
		}
		host kms1.example.org
	}`, "example.org.:53", "example.net.:53")
	if err != nil {
		t.Fatal(err)
	}
	if r := *sites[0].Responder; !reflect.DeepEqual(r, config.DefaultResponder()) {
		t.Errorf("An empty block: %+v", r)
	}
	want := config.Rehearse{Address: "127.0.0.1:1", Secret: "a word of the site's", Group: config.ServerA,
		ActivationInterval: 30 * time.Minute, RenewalInterval: 24 * time.Hour}
	if sites[0].Rehearse[0] != want || sites[0].TTL != 10*time.Second {
		t.Errorf("Got %+v, TTL %s", sites[0].Rehearse, sites[0].TTL)
	}
	if r, want := *sites[1].Responder, (config.Responder{
		Address: "192.0.2.1:1689", Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")},
		Policy: config.Spread, Warm: 25, Advertise: config.Advertise{Name: "node.example.net.", Priority: 1, Weight: 2},
		Budget: 5 * time.Second, Connections: 10, PerClient: 2, Rate: 3,
	}); !reflect.DeepEqual(r, want) {
		t.Errorf("Got %+v, want %+v", r, want)
	}
}

func TestZonesOfTheServerBlock(t *testing.T) {
	sites, err := parseText("kms {\n host kms1.example.org\n}", "dns://Example.org.:53", "tls://example.org.:853", "example.net.:53")
	if err != nil || fmt.Sprint(sites[0].Zones) != "[example.org. example.net.]" {
		t.Errorf("Got %v, %v", sites, err)
	}
}

// TestParseErrors: each names the line, what is wrong and what would be right.
func TestParseErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		body string // from line 2 on
		line int
		want string
	}{
		"unknown property":         {"host a.example\nhots b.example", 3, `unknown property "hots": one of host, ttl, probe, all_down, responder, rehearse, update, ns, store, control, status, fallthrough`},
		"no host":                  {"ttl 30s", 3, "no KMS host: name at least one"},
		"host without a name":      {"host", 2, "host NAME[:PORT]"},
		"not a host name":          {"host kms_1.example.org", 2, "not a host name: labels of letters"},
		"not qualified":            {"host kms1", 2, "write the whole name, as in kms1.example.org"},
		"port":                     {"host kms1.example.org:70000", 2, "a number from 1 to 65535"},
		"priority":                 {"host kms1.example.org priority 65536", 2, `priority "65536": a whole number from 0 to 65535`},
		"weight":                   {"host kms1.example.org weight -1", 2, `weight "-1": a whole number from 0 to 65535`},
		"weight twice":             {"host kms1.example.org weight 1 weight 2", 2, "weight twice"},
		"weight without a value":   {"host kms1.example.org weight", 2, "weight without a value"},
		"unknown host option":      {"host kms1.example.org wieght 1", 2, `unknown option "wieght": one of address, key, priority, weight`},
		"key":                      {"host kms1.example.org key gold", 2, `key "gold": one of any, client-vl, server-a, server-b, server-c`},
		"address":                  {"host kms1.example.org address kms2", 2, `address "kms2": an IP address`},
		"address of an address":    {"host 192.0.2.1 address 192.0.2.2", 2, "leave the address out"},
		"address twice":            {"host a.example.org address 192.0.2.1 address 192.0.2.1", 2, "twice"},
		"duplicate host":           {"host a.example.org\nhost A.example.org.:1688", 3, `duplicate host "a.example.org:1688"`},
		"duplicate address":        {"host 192.0.2.1\nhost ::ffff:192.0.2.1", 3, `duplicate host "192.0.2.1:1688"`},
		"ttl":                      {"ttl soon", 2, `ttl "soon": a duration, as in 10s or 1m30s`},
		"ttl 0":                    {"ttl 0s", 2, "whole seconds from 1s to 5m0s"},
		"ttl an hour":              {"ttl 1h", 2, "whole seconds from 1s to 5m0s"},
		"ttl without a value":      {"ttl", 2, "ttl DURATION"},
		"ttl twice":                {"ttl 10s\nttl 20s", 3, "ttl stands twice, first on line 2"},
		"probe":                    {"probe", 2, "probe rpc|tcp"},
		"probe kind":               {"probe icmp", 2, `probe "icmp": one of rpc, tcp`},
		"probe timeout":            {"probe rpc timeout 10s", 2, "timeout 10s is not below the interval 10s"},
		"probe rise":               {"probe rpc rise two", 2, `rise "two": a whole number`},
		"probe fall":               {"probe rpc fall 0", 2, "fall 0: from 1 to 100"},
		"probe option":             {"probe rpc every 10s", 2, "one of fall, interval, rise, timeout"},
		"all_down":                 {"all_down nxdomain", 2, `all_down "nxdomain": one of serve, nodata, servfail`},
		"all_down without a value": {"all_down", 2, "serve|nodata|servfail"},
		"rehearse":                 {"rehearse", 2, "rehearse ADDRESS"},
		"rehearse without a port":  {"rehearse 127.0.0.1", 2, "an IP address and a port"},
		"rehearse port 0":          {"rehearse 127.0.0.1:0", 2, "an IP address and a port"},
		"rehearse by name":         {"rehearse localhost:16881", 2, "an IP address and a port"},
		"rehearse twice":           {"rehearse 127.0.0.1:1\nrehearse 127.0.0.1:1", 3, "twice"},
		"fallthrough":              {"fallthrough a..b", 2, "a zone, as in"},
		"block of a property":      {"ttl 10s {\n}", 2, "ttl has no block of its own"},
		"responder address":        {"responder kms.example.org", 2, "an IP address and a port"},
		"responder twice":          {"responder\nresponder", 3, "responder stands twice, first on line 2"},
		"responder option":         {"responder {\npolcy spread\n}", 3, `unknown option "polcy": one of advertise, allow, budget, limit, policy, warm`},
		"responder option twice":   {"responder {\nwarm 1\nwarm 2\n}", 4, "warm twice"},
		"allow":                    {"responder {\nallow everybody\n}", 3, "a network, as in 10.0.0.0/8"},
		"allow nobody":             {"responder {\nallow\n}", 3, "at least one"},
		"allow mapped":             {"responder {\nallow ::ffff:10.0.0.0/104\n}", 3, "an IPv4 network as such"},
		"allow unmasked":           {"responder {\nallow 10.0.0.1/8\n}", 3, "write 10.0.0.0/8"},
		"policy":                   {"responder {\npolicy random\n}", 3, "one of concentrate, spread"},
		"policy without a word":    {"responder {\npolicy\n}", 3, "policy concentrate|spread"},
		"warm":                     {"responder {\nwarm 51\n}", 3, "from 0 (off) to 50"},
		"budget":                   {"responder {\nbudget 10ms\n}", 3, "from 1s to 1m"},
		"limit":                    {"responder {\nlimit rate 0\n}", 3, "limit rate 0: from 1"},
		"limit of what":            {"responder {\nlimit speed 9\n}", 3, "one of client, connections, rate"},
		"advertise":                {"responder {\nadvertise\n}", 3, "advertise NAME"},
		"advertise a wrong name":   {"responder {\nadvertise kms_1.example.org\n}", 3, "not a host name"},
		"advertise a host":         {"host kms1.example.org\nresponder {\nadvertise kms1.example.org\n}", 4, "give the name of this machine"},
		"limit of two":             {"responder {\nlimit rate 0\nlimit client 5\n}", 3, "limit rate 0: from 1"},
		"host is the responder":    {"host 192.0.2.1:99\nresponder 192.0.2.1:99 {\nwarm 1\n}", 2, "host 192.0.2.1:99: 192.0.2.1:99 is the responder of this block"},
		"address is the responder": {"responder 127.0.0.1:99\nhost a.b:99 address 192.0.2.1 address 127.0.0.1\nttl 9s", 3, "host a.b:99: 127.0.0.1:99 is the responder"},
		"loopback is everywhere":   {"responder :1688\nhost 127.0.0.2\nttl 9s", 3, "give the KMS host's own address"},
		"rehearse interval":        {"rehearse 127.0.0.1:1 {\nactivation_interval 1s\n}", 3, "whole minutes from 15m to 720h"},
		"rehearse group":           {"rehearse 127.0.0.1:1 {\ngroup gold\n}", 3, "one of any, client-vl"},
		"update without a block":   {"update", 2, "update: nobody could announce a host"},
		"update by nobody":         {"update {\nlease 24h\n}", 4, `say who may with "allow 192.0.2.0/24" or "key NAME"`},
		"update with a value":      {"update 10.0.0.0/8 {\n}", 2, "update { ... }: who may"},
		"update twice":             {"update {\nobserve\n}\nupdate {\nobserve\n}", 5, "update stands twice, first on line 2"},
		"update option":            {"update {\ndeny 10.0.0.0/8\n}", 3, `unknown option "deny": one of allow, key, lease, max, observe`},
		"update allow":             {"update {\nallow all\n}", 3, `update: allow "all": a network, as in 10.0.0.0/8`},
		"update allow twice":       {"update {\nallow 10.0.0.0/8\nallow 10.0.0.0/8\n}", 4, "allow twice"},
		"update allow unmasked":    {"update {\nallow 10.0.0.1/8\n}", 3, "write 10.0.0.0/8"},
		"update key":               {"update {\nkey\n}", 3, "key NAME [from CIDR...] [target PATTERN...]"},
		"update key name":          {"update {\nkey a..b\n}", 3, `key "a..b": the name of a TSIG key`},
		"update key of the root":   {"update {\nkey .\n}", 3, "the name of a TSIG key"},
		"update key twice":         {"update {\nkey a.example\nkey A.example.\n}", 4, "key a.example. twice"},
		"update key option":        {"update {\nkey a 10.0.0.0/8\n}", 3, `key a: unknown option "10.0.0.0/8": one of from, target`},
		"update key from":          {"update {\nkey a from target b.c\n}", 3, "key a: from without a value"},
		"update key from twice":    {"update {\nkey a from ::1 from ::1\n}", 3, "key a: from twice"},
		"update key from where":    {"update {\nkey a from 10.0.0.1/8\n}", 3, "key a: from 10.0.0.1/8: bits behind the mask: write 10.0.0.0/8"},
		"update key target":        {"update {\nkey a from ::1 target\n}", 3, "key a: target without a value"},
		"update target":            {"update {\nkey a target *\n}", 3, "without target it is any host"},
		"update target inside":     {"update {\nkey a target kms*.example.org\n}", 3, "not a host name"},
		"update target label":      {"update {\nkey a target *.*.example.org\n}", 3, "as in *.example.org"},
		"update target twice":      {"update {\nkey a target *.b *.B.\n}", 3, "target *.b. twice"},
		"update target long":       {"update {\nkey a target *." + strings.Repeat("a.", 127) + "\n}", 3, "at most 251"},
		"update lease":             {"update {\nobserve\nlease soon\n}", 4, `lease "soon": a duration`},
		"update lease short":       {"update {\nobserve\nlease 59m\n}", 4, "lease 59m0s: from 1h to 2160h"},
		"update lease long":        {"update {\nobserve\nlease 2161h\n}", 4, "from 1h to 2160h"},
		"update max 0":             {"update {\nobserve\nmax 0\n}", 4, "max 0: from 1 to 256"},
		"update max":               {"update {\nobserve\nmax 257\n}", 4, "max 257: from 1 to 256"},
		"observe with a value":     {"update {\nobserve yes\n}", 3, "observe: no value"},
		"observe without a host":   {"update {\nallow ::/0\nobserve\n}", 6, "no KMS host, and observe lets none announce itself"},
		"ns":                       {"ns", 2, "ns NAME..., as in"},
		"ns name":                  {"ns ns1", 2, "ns \"ns1\" is not fully qualified"},
		"ns address":               {"ns 192.0.2.1", 2, "neither a host name nor an IP address"},
		"ns twice":                 {"ns a.example.org A.example.org.", 2, "ns a.example.org. twice"},
		"ns on two lines":          {"ns a.example.org\nns b.example.org", 3, "ns stands twice, first on line 2"},
		"ns below":                 {"ns ns._vlmcs._tcp.example.org", 2, "a name outside _vlmcs._tcp.example.org., which has no addresses in it"},
		"ns in great number":       {"ns a.b b.b c.b d.b e.b f.b g.b h.b i.b", 2, "9 name servers: at most 8"},
		"store":                    {"store", 2, "store PATH: one path"},
		"store and another":        {"store a b", 2, "store PATH: one path"},
		"store of nothing":         {"store \"\"", 2, `store "": the path of a file, as in /var/lib/coredns/kms.db`},
		"store a directory":        {"store /var/lib/", 2, "the path of a file"},
		"store twice":              {"store a\nstore b", 3, "store stands twice"},
		"control":                  {"control", 2, "control PATH: one path"},
		"control too long":         {"control /" + strings.Repeat("a", 107), 2, "108 octets: the path of a Unix socket has at most 107"},
		"control a directory":      {"control /run/", 2, "the path of a file, as in /run/coredns/kms.sock"},
		"status":                   {"status", 2, "status ADDRESS [NAME...], as in \"status 127.0.0.1:8080\""},
		"status of a name":         {"status kms.example.org:8080", 2, "status \"kms.example.org:8080\": an IP address and a port"},
		"status name":              {"status :8080 http://kms", 2, "name \"http://kms\": a host name"},
		"status name twice":        {"status :8080 kms KMS.", 2, "name kms twice"},
		"status names":             {"status :8080 a b c d e f g h i j k l m n o p q", 2, "17 names: at most 16"},
		"store is control":         {"host a.example.org\nstore /run/kms\ncontrol /run/../run/kms", 5, "store and control are both /run/kms"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseText("kms {\n"+tt.body+"\n}", "example.org.:53")
			at := fmt.Sprintf("Testfile:%d", tt.line)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), at) {
				t.Errorf("Got %v, want %s and %q", err, at, tt.want)
			}
		})
	}
	for name, tt := range map[string]struct{ text, want string }{
		"zone twice":         {"kms example.org example.org {\nhost a.example.org\n}", "twice in one kms block"},
		"zone in two blocks": {"kms example.org {\nhost a.example.org\n}\nkms Example.ORG {\nhost b.example.org\n}", "two kms blocks of one server block"},
		"zone elsewhere":     {"kms example.net {\nhost a.example.org\n}", "is not in the zones of its server block (example.org.)"},
		"made-up name":       {"kms " + strings.Repeat("abcdefg.", 28) + "example.org {\nhost 2001:db8::1\n}", "too long for the name of 2001:db8::1"},
		"name in brackets":   {"kms {\nhost [a.example.org]\n}", "NAME, NAME:PORT"},
		"not a zone":         {"kms a..b {\nhost a.example.org\n}", "is not a zone"},
		"delegated, no ns":   {"kms _vlmcs._tcp.example.org {\nhost a.example.org\n}", "is delegated to this server and needs name servers of its own: say \"ns NAME...\""},
		"delegated address":  {"kms _vlmcs._tcp.example.org {\nhost 192.0.2.1\nns a.example.org\n}", "Testfile:2 - Error during parsing: host 192.0.2.1:1688: in zone"},
		"delegated twice":    {"kms example.org _vlmcs._tcp.example.org {\nhost a.example.org\nns a.example.org\n}", "are both about _vlmcs._tcp.example.org.: leave one"},
		"delegated and not":  {"kms example.org {\nhost a.example.org\n}\nkms _vlmcs._tcp.example.org {\nhost a.example.org\nns a.example.org\n}", "two kms blocks of one server block"},
		"zone too long":      {"kms " + strings.Repeat("abcdefg.", 29) + "example.org {\nhost a.example.org\n}", "too long"},
	} {
		if _, err := parseText(tt.text, "example.org.:53"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// FuzzParse: whatever stands in a Corefile, parse returns; what it accepts, Validate accepts, and it is the same when it is read
// again; what it does not, it says with the file and a line that is there.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		sites, err := parseText(text, "example.org.:53")
		again, errAgain := parseText(text, "example.org.:53")
		if err != nil {
			line := 0
			if m := atLine.FindStringSubmatch(err.Error()); m != nil {
				line, _ = strconv.Atoi(m[1])
			}
			if line < 1 || line > strings.Count(text, "\n")+1 {
				t.Errorf("Of %q is said, without a line that is there: %v", text, err)
			}
			if errAgain == nil || errAgain.Error() != err.Error() {
				t.Errorf("Of %q is said %v, and then %v", text, err, errAgain)
			}
			return
		}
		if errAgain != nil || !reflect.DeepEqual(again, sites) {
			t.Errorf("%q is read as %+v, and then as %+v, %v", text, sites, again, errAgain)
		}
		for _, s := range sites {
			if err := s.Block.Validate(); err != nil {
				t.Errorf("Accepted %q, which is not valid: %v", text, err)
			}
			dnsface.New([]*dnsface.Site{s}, []string{"example.org."})
		}
	})
}

// TestHostBesideTheResponder: what is on this machine and is not the responder, or may be elsewhere, is a host like any other.
func TestHostBesideTheResponder(t *testing.T) {
	for _, body := range []string{
		"host 127.0.0.1:1689\nresponder 127.0.0.1:1688",
		"host 127.0.0.2:1688\nresponder 127.0.0.1:1688",
		"host 192.0.2.1\nresponder",
		"host kms1.example.org\nresponder",
		"host [::1]:1688\nresponder 127.0.0.1:1688",
	} {
		if _, err := parseText("kms {\n"+body+"\n}", "example.org"); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
}

var atLine = regexp.MustCompile(`^Testfile:(\d+)\b`)

// TestPlaces: what judges a Corefile, or complains of it later, says where the thing stands.
func TestPlaces(t *testing.T) {
	sites, err := parseText(`kms example.org {
		host kms1.example.org
		host 192.0.2.2:1689

		responder 127.0.0.1:1688 {
			allow 10.0.0.0/8
			limit rate 10
			limit connections 10
		}
		rehearse 127.0.0.1:16881 {
			secret "two
lines"
		}
		ttl 15
	}
	kms example.net {
		host kms1.example.org
	}`, "example.org", "example.net")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Places{}
	for what, line := range map[string]int{
		"kms": 1, "host kms1.example.org:1688": 2, "host 192.0.2.2:1689": 3, "responder": 5, "responder allow": 6,
		"responder limit": 8, "responder limit rate": 7, "responder limit connections": 8, "rehearse 127.0.0.1:16881": 10, "rehearse secret": 11, "ttl": 14,
	} {
		want[what] = config.Place{File: "Testfile", Line: line}
	}
	if got := sites[0].Places; !reflect.DeepEqual(got, want) {
		t.Errorf("Got %v, want %v", got, want)
	}
	if got := sites[1].Places.Of("ttl", "probe"); got.Line != 16 {
		t.Errorf("A property that is not there: line %d, want 16, that of the block", got.Line)
	}
	if _, err := parseText("kms example.org {\n host a.example.org\n kms\n}", "example.org"); err == nil || !strings.Contains(err.Error(), `unknown property "kms"`) {
		t.Errorf("Got %v, want to be told that there is no property kms", err)
	}
}
