//go:build interop

package test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A zoneKeys is the keys that a zone is signed with.
type zoneKeys struct {
	files  string // for the dnssec directive
	anchor *dns.DNSKEY
}

// makeKeys makes keys for zone with BIND's tool, one for each list of its options. The first is the one to trust.
func makeKeys(t *testing.T, zone string, options ...string) zoneKeys {
	t.Helper()
	dir := t.TempDir()
	var keys zoneKeys
	for _, o := range options {
		out, ok := program(t, "dnssec-keygen", append(strings.Fields(o), "-q", "-K", dir, zone)...)
		if !ok {
			t.Fatalf("No key: %s", out)
		}
		base := filepath.Join(dir, strings.TrimSpace(out))
		keys.files += " " + base
		if keys.anchor != nil {
			continue
		}
		f, err := os.Open(base + ".key")
		if err != nil {
			t.Fatal(err)
		}
		rr, err := dns.ReadRR(f, base)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		keys.anchor = rr.(*dns.DNSKEY)
	}
	return keys
}

// anchorFile writes the key to trust for delv and returns the name of the file.
func (k zoneKeys) anchorFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "anchors")
	a := k.anchor
	text := fmt.Sprintf("trust-anchors { \"%s\" static-key %d %d %d \"%s\"; };\n", a.Hdr.Name, a.Flags, a.Protocol, a.Algorithm, a.PublicKey)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// signedZone is kms over a zone file that knows nothing of _tcp, signed on the way out.
const signedZone = `corp.example.org:$PORT {
	bind 127.0.0.1
	errors
	cache
	dnssec {
		key file $KEYS
	}
	kms {
		host kms1.corp.example.org:$KMS1 priority 0 weight 10 address 127.0.0.1
		host kms2.corp.example.org:$KMS2 priority 0 weight 20 address 127.0.0.1
		host 127.0.0.1:$KMS3 priority 1
		ttl 1s
		probe rpc interval 2s timeout 500ms
	}
	file $ZONE
}`

// bareZone writes a zone file for zone without anything below the apex but its name server.
func bareZone(t *testing.T, zone string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zone")
	text := fmt.Sprintf("$ORIGIN %s\n@ 60 IN SOA ns1 hostmaster 7 7200 1800 86400 60\n@ 60 IN NS ns1\nns1 60 IN A 127.0.0.1\n", dns.Fqdn(zone))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// Ways to sign a zone.
var signings = map[string][]string{
	"one ECDSA key for everything":    {"-a ECDSAP256SHA256 -f KSK"},
	"an ECDSA key for keys, one more": {"-a ECDSAP256SHA256 -f KSK", "-a ECDSAP256SHA256"},
	"one RSA key for everything":      {"-a RSASHA256 -b 2048 -f KSK"},
}

// TestSigned: what kms answers validates, from BIND's validator alone up to unbound as the resolver of a network.
func TestSigned(t *testing.T) {
	for name, options := range signings {
		t.Run(name, func(t *testing.T) {
			keys := makeKeys(t, "corp.example.org", options...)
			kms1, kms2, kms3 := startHost(t), startHost(t), startHost(t)
			s := startServer(t, signedZone, "$KEYS", keys.files, "$ZONE", bareZone(t, "corp.example.org"),
				"$KMS1", kms1.number(), "$KMS2", kms2.number(), "$KMS3", kms3.number())
			awaitUp(t, "corp.example.org", 3)
			t.Run("delv", func(t *testing.T) { testDelv(t, s, keys) })
			t.Run("unbound", func(t *testing.T) { testUnbound(t, s, keys, kms1) })
		})
	}
}

func testDelv(t *testing.T, s *server, keys zoneKeys) {
	anchors := keys.anchorFile(t)
	const made = "kms-127-0-0-1.corp.example.org."
	for _, tt := range []struct {
		name, qtype string
		verdict     string
		records     int
	}{
		{service, "SRV", "; fully validated", 3},
		{made, "A", "; fully validated", 1},
		{service, "TXT", "; negative response, fully validated", 0},
		{service, "A", "; negative response, fully validated", 0},
		{made, "AAAA", "; negative response, fully validated", 0},
		{"_tcp.corp.example.org.", "A", "; negative response, fully validated", 0},
		{"corp.example.org.", "NS", "; fully validated", 1}, // from the zone file
	} {
		t.Run(tt.name+" "+tt.qtype, func(t *testing.T) {
			out, _ := program(t, "delv", "@127.0.0.1", "-p", strconv.Itoa(int(s.port)), "-a", anchors, "+root=corp.example.org", tt.name, tt.qtype)
			if !slices.Contains(strings.Split(out, "\n"), tt.verdict) {
				t.Errorf("Got no %q from delv:\n%s", tt.verdict, out)
			}
			got := 0
			for line := range strings.Lines(out) {
				if fields := strings.Fields(line); len(fields) > 4 && fields[0] == tt.name && fields[3] == tt.qtype {
					got++
				}
			}
			if got != tt.records {
				t.Errorf("Got %d records, want %d:\n%s", got, tt.records, out)
			}
		})
	}
}

// testUnbound asks through a validating resolver that minimises its questions strictly, so that it comes by _tcp.
func testUnbound(t *testing.T, s *server, keys zoneKeys, mortal *fakeHost) {
	u := startUnbound(t, s, "corp.example.org", keys.anchor)
	const made = "kms-127-0-0-1.corp.example.org."
	for _, tt := range []struct {
		name, qtype string
		records     int
	}{
		{service, "SRV", 3},
		{made, "A", 1},
		{service, "TXT", 0},
		{made, "AAAA", 0},
		{"_tcp.corp.example.org.", "A", 0},
		{"ns1.corp.example.org.", "A", 1},
	} {
		t.Run(tt.name+" "+tt.qtype, func(t *testing.T) {
			r := u.dig(t, "+dnssec", tt.name, tt.qtype)
			got := len(ofType(r.answer(), dns.StringToType[tt.qtype]))
			if r.status != "NOERROR" || !r.has("ad") || got != tt.records {
				t.Errorf("Got status %s, flags %v, %d records\n%s", r.status, r.flags, got, r.text)
			}
		})
	}
	t.Run("while a host goes", func(t *testing.T) {
		before := services(u.dig(t, service, "SRV").answer())
		mortal.die()
		var seen [][]string
		// Each change is another RRset under the same name; at no moment may there be one that does not validate. A host is
		// suspect for two intervals, which is longer than the resolver keeps a TTL of a second (up to two): it sees each.
		await(t, 20*time.Second, "the dead host is gone", func() bool {
			r := u.dig(t, "+adflag", service, "SRV")
			if r.status != "NOERROR" || !r.has("ad") {
				t.Fatalf("Got status %s, flags %v\n%s", r.status, r.flags, r.text)
			}
			now := services(r.answer())
			if len(seen) == 0 || !slices.Equal(seen[len(seen)-1], now) {
				seen = append(seen, now)
			}
			return len(now) == 2
		})
		dead := "kms1.corp.example.org:" + mortal.number()
		last := []string{before[1], before[2]}
		want := [][]string{before, append(slices.Clone(last), dead+" 2 10"), last}
		if !slices.EqualFunc(seen, want, slices.Equal[[]string]) {
			t.Errorf("Got the answers\n\t%v\nwant\n\t%v", seen, want)
		}
	})
}

// TestSignedSizes: a signature takes room from addresses, never from SRV records, as far as there is any.
func TestSignedSizes(t *testing.T) {
	kms := startHost(t)
	for name, tt := range map[string]struct {
		signing   []string
		hosts     int
		size      string
		truncated bool
	}{
		"ECDSA, 3 hosts in 512":                {signings["one ECDSA key for everything"], 3, "+bufsize=512", false},
		"ECDSA, 3 hosts and all else in 4096":  {signings["one ECDSA key for everything"], 3, "+bufsize=4096", false},
		"ECDSA, 20 hosts in 1232":              {signings["one ECDSA key for everything"], 20, "+bufsize=1232", false},
		"ECDSA, 27 hosts are too many in 1232": {signings["one ECDSA key for everything"], 27, "+bufsize=1232", true},
		"RSA, 3 hosts in 512":                  {signings["one RSA key for everything"], 3, "+bufsize=512", false},
		"RSA, 12 hosts in 1232":                {signings["one RSA key for everything"], 12, "+bufsize=1232", false},
		"RSA, 20 hosts in 1232":                {signings["one RSA key for everything"], 20, "+bufsize=1232", false},
		"RSA, 9 hosts are too many in 512":     {signings["one RSA key for everything"], 9, "+bufsize=512", true},
		"RSA, 40 hosts in 4096":                {signings["one RSA key for everything"], 40, "+bufsize=4096", false},
	} {
		t.Run(name, func(t *testing.T) {
			zone := poolOf(tt.hosts, 1)
			keys := makeKeys(t, zone, tt.signing...)
			block := strings.Replace(bigPool(zone, tt.hosts, 1), "kms {", "dnssec {\n\tkey file "+keys.files+"\n}\n\tkms {", 1)
			s := startServer(t, block, "$KMS", kms.number())
			awaitUp(t, zone, tt.hosts)
			for range 3 { // in every order of hosts
				each(t, func(t *testing.T, ask asker) {
					r := ask(s, t, tt.size, "+dnssec", "+nocookie", "+ignore", "_vlmcs._tcp."+zone, "SRV")
					hosts, signatures := len(ofType(r.answer(), dns.TypeSRV)), len(ofType(r.answer(), dns.TypeRRSIG))
					if r.has("tc") != tt.truncated || r.size > room([]string{tt.size}) {
						t.Errorf("Got flags %v and %d octets: %d SRV records, %d addresses", r.flags, r.size, hosts, len(r.additional()))
					}
					if whole := hosts == tt.hosts && signatures == 1; whole == tt.truncated {
						t.Errorf("Got %d SRV records and %d signatures, TC is %t", hosts, signatures, r.has("tc"))
					}
					if t.Failed() || tt.truncated {
						return
					}
					verify(t, keys.anchor, r.answer())
					verify(t, keys.anchor, r.additional())
				})
			}
		})
	}
}

// verify checks that each RRset among rrs has its signature, and that it is right.
func verify(t *testing.T, key *dns.DNSKEY, rrs []dns.RR) {
	t.Helper()
	type set struct {
		name  string
		rtype uint16
	}
	sets, signatures := make(map[set][]dns.RR), make(map[set]*dns.RRSIG)
	for _, rr := range rrs {
		if sig, ok := rr.(*dns.RRSIG); ok {
			signatures[set{sig.Hdr.Name, sig.TypeCovered}] = sig
		} else {
			of := set{rr.Header().Name, rr.Header().Rrtype}
			sets[of] = append(sets[of], rr)
		}
	}
	if len(sets) != len(signatures) {
		t.Errorf("Got %d signatures for %d RRsets: %v", len(signatures), len(sets), rrs)
	}
	for of, rrs := range sets {
		if sig := signatures[of]; sig == nil {
			t.Errorf("Got no signature of %v", rrs)
		} else if err := sig.Verify(key, rrs); err != nil {
			t.Errorf("The signature of %v is wrong: %v", rrs, err)
		}
	}
}

// TestSignedAllDown: the empty answer of a pool without hosts is believed by a validating resolver, and the hosts as well
// when they are back.
func TestSignedAllDown(t *testing.T) {
	keys := makeKeys(t, "empty.example.org", signings["one ECDSA key for everything"]...)
	kms := startHost(t)
	kms.die()
	s := startServer(t, `empty.example.org:$PORT {
		bind 127.0.0.1
		dnssec {
			key file $KEYS
		}
		kms {
			host kms.empty.example.org:$KMS address 127.0.0.1
			all_down nodata
			probe rpc interval 1s timeout 500ms fall 1
		}
		file $ZONE
	}`, "$KEYS", keys.files, "$ZONE", bareZone(t, "empty.example.org"), "$KMS", kms.number())
	u := startUnbound(t, s, "empty.example.org", keys.anchor)
	const name = "_vlmcs._tcp.empty.example.org."
	await(t, 5*time.Second, "the host down", func() bool {
		return metric(t, "coredns_kms_pool_condition", "pool", "empty.example.org", "condition", "all-down") == 1
	})
	r := u.dig(t, "+dnssec", name, "SRV")
	if r.status != "NOERROR" || !r.has("ad") || len(r.answer()) != 0 {
		t.Errorf("Got status %s, flags %v, answer %v", r.status, r.flags, r.answer())
	}
	for _, rr := range ofType(r.authority(), dns.TypeSOA) {
		if rr.Header().Ttl > 5 {
			t.Errorf("Got TTL %d for the denial, want at most 5", rr.Header().Ttl)
		}
	}
	kms.start(t)
	// Down for up to four seconds of back-off, two passes, and a denial that is kept for five seconds.
	await(t, 15*time.Second, "the host is back", func() bool {
		r := u.dig(t, "+adflag", name, "SRV")
		if r.status != "NOERROR" || !r.has("ad") {
			t.Fatalf("Got status %s, flags %v\n%s", r.status, r.flags, r.text)
		}
		return len(r.answer()) == 1
	})
}

// TestMinimisingResolver: _tcp.<zone> exists because something below it does, whatever the plugin behind kms thinks of it.
// A resolver that asks name by name (RFC 9156), or that takes a denied name to have nothing below it (RFC 8020), must get
// through.
func TestMinimisingResolver(t *testing.T) {
	for name, behind := range map[string]string{
		"nothing behind":            "",
		"a zone file behind":        "file $ZONE",
		"a list of hosts behind":    "hosts {\n\t\t127.0.0.1 kms1.corp.example.org\n\t}",
		"a zone file of the parent": "file $PARENT example.org",
	} {
		t.Run(name, func(t *testing.T) {
			kms := startHost(t)
			s := startServer(t, `corp.example.org:$PORT {
				bind 127.0.0.1
				kms {
					host kms1.corp.example.org:$KMS address 127.0.0.1
					probe rpc interval 1s timeout 500ms
				}
				`+behind+`
			}`, "$KMS", kms.number(), "$ZONE", bareZone(t, "corp.example.org"), "$PARENT", bareZone(t, "example.org"))
			awaitUp(t, "corp.example.org", 1)
			u := startUnbound(t, s, "corp.example.org", nil)
			r := u.dig(t, service, "SRV")
			if r.status != "NOERROR" {
				t.Errorf("Got status %s through unbound\n%s", r.status, r.text)
			}
			equal(t, "answer", services(r.answer()), []string{"kms1.corp.example.org:" + kms.number() + " 0 0"})
			r = u.dig(t, "_tcp.corp.example.org", "A")
			if r.status != "NOERROR" || len(r.answer()) != 0 {
				t.Errorf("Got status %s for the name above, answer %v", r.status, r.answer())
			}
		})
	}
}

// startUnbound starts unbound as a resolver that asks s for zone, and trusts anchor unless that is nil.
func startUnbound(t *testing.T, s *server, zone string, anchor *dns.DNSKEY) *server {
	t.Helper()
	u := &server{port: freePort(t)}
	dir := t.TempDir()
	trust, modules := "", "iterator"
	if anchor != nil {
		trust, modules = "trust-anchor: \""+anchor.String()+"\"", "validator iterator"
	}
	conf := filepath.Join(dir, "unbound.conf")
	text := fmt.Sprintf(`server:
	directory: "%[1]s"
	chroot: ""
	username: ""
	pidfile: ""
	logfile: ""
	use-syslog: no
	log-servfail: yes
	val-log-level: 2
	do-daemonize: no
	num-threads: 1
	interface: 127.0.0.1
	port: %[2]d
	do-ip6: no
	# No root servers are asked for anything here.
	target-fetch-policy: "0 0 0 0 0"
	do-not-query-localhost: no
	module-config: "%[3]s"
	%[4]s
	qname-minimisation: yes
	qname-minimisation-strict: yes
	harden-below-nxdomain: yes
	use-caps-for-id: yes
remote-control:
	control-enable: no
stub-zone:
	name: "%[5]s"
	stub-addr: %[6]s@%[7]d
`, dir, u.port, modules, trust, zone, s.host(), s.port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, ok := program(t, "unbound-checkconf", conf); !ok {
		t.Fatalf("The configuration for unbound is wrong: %s\n%s", out, text)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, lookProgram(t, "unbound"), "-d", "-c", conf)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("unbound does not start: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait() // its exit status says that it was interrupted
		if t.Failed() {
			t.Logf("unbound said:\n%s", log.Bytes())
		}
	})
	await(t, 10*time.Second, "unbound takes connections", func() bool {
		conn, err := net.Dial("tcp", u.address())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return u
}
