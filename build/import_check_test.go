package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/miekg/dns"
)

// answering is a server's answer as a test writes it: "target port priority weight" for each record.
func answering(server string, records ...string) answered {
	a := answered{Server: server, TTL: 30, addresses: make(map[string]targetAnswer)}
	for _, r := range records {
		srv := new(dns.SRV)
		fmt.Sscan(r, &srv.Target, &srv.Port, &srv.Priority, &srv.Weight)
		a.services = append(a.services, srv)
		a.addresses[srv.Target] = targetAnswer{name: srv.Target}
	}
	return a
}

func (a answered) with(target string, t targetAnswer) answered {
	a.addresses[target] = t
	return a
}

func TestCompareAnswers(t *testing.T) {
	ip := func(s ...string) (all []netip.Addr) {
		for _, a := range s {
			all = append(all, netip.MustParseAddr(a))
		}
		return all
	}
	dead := probe.Result{Outcome: probe.Refused, Stage: probe.Connect, Err: errors.New("refused")}
	gone := probe.Result{Outcome: probe.Unresolved, Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
	unsure := probe.Result{Outcome: probe.Unresolved, Err: errors.New("timeout")}
	passed := probe.Result{Outcome: probe.Passed, RTT: time.Millisecond}
	const a, b = "a.b. 1688 0 0", "b.b. 1688 0 0"
	for name, tt := range map[string]struct {
		was, is  answered
		probed   probe.Result // of every host
		licensed licenses
		want     string // of the last host
		status   exitStatus
	}{
		"same":                {was: answering("o", a, b), is: answering("n", b, a), want: "same b.b:1688: priority 0 weight 0"},
		"missing":             {was: answering("o", a, b), is: answering("n", a), probed: passed, want: "DIFFERS b.b:1688: missing: the old server has it with priority 0 weight 0; asked now: passed", status: statusCritical},
		"missing, not probed": {was: answering("o", a, b), is: answering("n", a), probed: unsure, want: "DIFFERS b.b:1688: missing", status: statusCritical},
		"missing, dead":       {was: answering("o", a, b), is: answering("n", a), probed: dead, want: "expected b.b:1688: missing, as it should be: it is dead: connect: refused", status: statusWarning},
		"missing, no name":    {was: answering("o", a, b), is: answering("n", a), probed: gone, want: "expected b.b:1688: missing, as it should be", status: statusWarning},
		"missing, not licensed": {was: answering("o", a, b), is: answering("n", a), probed: passed, licensed: licenses{"a.b.": true},
			want: "expected b.b:1688: missing: not a licensed host of the list; asked now: passed", status: statusWarning},
		"not a host name": {was: answering("o", a, "b_c.b. 1688 0 0"), is: answering("n", a), want: "expected b_c.b:1688: missing: it cannot stand in a Corefile", status: statusWarning},
		"extra":           {was: answering("o", a), is: answering("n", a, b), probed: passed, want: "DIFFERS b.b:1688: only the new server has it", status: statusCritical},
		"other port":      {was: answering("o", a), is: answering("n", "a.b. 1689 0 0"), probed: passed, want: "DIFFERS a.b:1689: only the new", status: statusCritical},
		"suspect":         {was: answering("o", b, a), is: answering("n", a, "b.b. 1688 1 0"), probed: dead, want: "expected b.b:1688: priority 1 instead of 0: it is suspect", status: statusWarning},
		"priority":        {was: answering("o", b, a), is: answering("n", a, "b.b. 1688 1 0"), probed: passed, want: "DIFFERS b.b:1688: priority 1 weight 0 instead of priority 0 weight 0", status: statusCritical},
		"priority lower":  {was: answering("o", a, "b.b. 1688 1 0"), is: answering("n", a, b), probed: dead, want: "DIFFERS b.b:1688: priority 0", status: statusCritical},
		"weight":          {was: answering("o", a, b), is: answering("n", a, "b.b. 1688 0 9"), probed: dead, want: "DIFFERS b.b:1688: priority 0 weight 9", status: statusCritical},
		"twice":           {was: answering("o", a, "a.b. 1688 7 0"), is: answering("n", a), want: "expected a.b:1688: the old server has it again, with priority 7", status: statusWarning},
		"alias": {was: answering("o", "x.b. 1688 0 0").with("x.b.", targetAnswer{name: "a.b.", addresses: ip("192.0.2.1")}),
			is:   answering("n", a).with("a.b.", targetAnswer{name: "a.b.", addresses: ip("192.0.2.1")}),
			want: "expected a.b:1688: priority 0 weight 0; the old server names x.b., an alias", status: statusWarning},
		"addresses": {was: answering("o", a).with("a.b.", targetAnswer{name: "a.b.", addresses: ip("192.0.2.1")}),
			is:   answering("n", a).with("a.b.", targetAnswer{name: "a.b.", addresses: ip("192.0.2.1", "192.0.2.2")}),
			want: "DIFFERS a.b:1688: priority 0 weight 0; addresses [192.0.2.1 192.0.2.2] instead of [192.0.2.1]", status: statusCritical},
		"addresses of nobody's": {was: answering("o", a).with("a.b.", targetAnswer{name: "a.b.", addresses: ip("192.0.2.1")}),
			is:   answering("n", a).with("a.b.", targetAnswer{name: "a.b.", err: errors.New("n answers REFUSED")}),
			want: "same a.b:1688: priority 0 weight 0; addresses not compared: n answers REFUSED"},
		"new is empty": {was: answering("o", a), is: answering("n"), probed: passed, want: "DIFFERS a.b:1688: missing", status: statusCritical},
	} {
		t.Run(name, func(t *testing.T) {
			probed := make(map[string]probe.Result)
			for _, c := range compareAnswers(tt.was, tt.is, nil, tt.licensed) {
				probed[c.Host] = tt.probed
			}
			found := compareAnswers(tt.was, tt.is, probed, tt.licensed)
			last := found[len(found)-1]
			got := fmt.Sprintf("%s %s: %s", last.mark(), last.Host, strings.Join(last.Words, "; "))
			if !strings.HasPrefix(got, tt.want) || weigh(found) != tt.status {
				t.Errorf("%s: got %q, want %s: %q", weigh(found), got, tt.status, tt.want)
			}
		})
	}
}

// zoneServer answers from records; names that it has not are REFUSED. UDP answers with more than one SRV record are truncated.
// The additional section has what begins with additional, as if that label were not there.
func zoneServer(t *testing.T, text string) string {
	t.Helper()
	zone := zoneRecords(t, "$TTL 60\n"+text)
	return dnsServer(t, nil, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(r, dns.RcodeRefused)
		name := r.Question[0].Name
		for range 2 { // an alias leads on
			for _, rr := range zone {
				h := rr.Header()
				if target, ok := strings.CutPrefix(h.Name, "additional."); ok && r.Question[0].Qtype == dns.TypeSRV {
					extra := dns.Copy(rr)
					extra.Header().Name = target
					m.Extra = append(m.Extra, extra)
				}
				if h.Name != name {
					continue
				}
				m.Rcode, m.Authoritative = dns.RcodeSuccess, true
				if h.Rrtype == r.Question[0].Qtype && !slices.Contains(m.Answer, rr) {
					m.Answer = append(m.Answer, rr)
				} else if c, ok := rr.(*dns.CNAME); ok {
					m.Answer = append(m.Answer, rr)
					name = c.Target
				}
			}
		}
		if _, udp := w.LocalAddr().(*net.UDPAddr); udp && r.Question[0].Qtype == dns.TypeSRV && len(m.Answer) > 1 {
			m.Answer, m.Truncated = nil, true
		}
		w.WriteMsg(m)
	})
}

func TestImportCheck(t *testing.T) {
	up, down := rehearsalHost(t), nobody(t)
	_, upPort, _ := net.SplitHostPort(up)
	_, downPort, _ := net.SplitHostPort(down)
	kms1, kms2 := "_vlmcs._tcp SRV 0 60 "+upPort+" kms1\n", "_vlmcs._tcp SRV 0 40 "+downPort+" kms2\n"
	addresses := "kms1 A 127.0.0.1\nkms2 A 127.0.0.1\nkms CNAME kms1\n"
	for name, tt := range map[string]struct {
		was, is string
		args    string
		status  int
		want    []string // words that stand in this order
	}{
		"same":           {kms1 + kms2 + addresses, kms2 + kms1 + addresses, "", 0, []string{"KMS OK - of 2 records 2 are the same, 0 differ as is to be expected, 0 differ", "same", "ttl", "new", "1m0s"}},
		"dead":           {kms1 + kms2 + addresses, kms1 + addresses, "", 1, []string{"KMS WARNING", "expected  kms2.corp.example.org:" + downPort, "missing, as it should be: it is dead: connect: connection to " + down + " refused"}},
		"not probed":     {kms1 + kms2 + addresses, kms1 + addresses, "-no-probe", 2, []string{"KMS CRITICAL", "DIFFERS", "missing: the old server has it"}},
		"alive":          {kms1 + kms2 + addresses, kms2 + addresses, "", 2, []string{"KMS CRITICAL", "DIFFERS", "kms1.corp", "missing", "asked now: passed", "same", "kms2"}},
		"alias":          {"_vlmcs._tcp SRV 0 60 " + upPort + " kms\n" + addresses, kms1 + addresses, "", 1, []string{"expected", "kms1.corp", "the old server names kms.corp.example.org., an alias"}},
		"addresses":      {kms1 + addresses, kms1 + "kms1 A 127.0.0.2\n", "", 2, []string{"DIFFERS", "addresses [127.0.0.2] instead of [127.0.0.1]"}},
		"other order":    {kms1 + addresses + "kms1 A 127.0.0.2\n", kms1 + "kms1 A 127.0.0.2\n" + addresses, "", 0, []string{"KMS OK"}},
		"additional":     {kms1 + addresses, kms1 + "additional.kms1 A 127.0.0.3\n", "", 2, []string{"DIFFERS", "addresses [127.0.0.3] instead of [127.0.0.1]"}},
		"no addresses":   {kms1 + addresses, kms1, "", 0, []string{"same", "addresses not compared: ", "answers REFUSED"}},
		"neither":        {"_vlmcs._tcp A 192.0.2.1\n", "_vlmcs._tcp A 192.0.2.1\n", "", 3, []string{"neither", "is it the right zone?"}},
		"one is refused": {kms1, "", "", 3, []string{"answers REFUSED for _vlmcs._tcp.corp.example.org. SRV"}},
		"not licensed":   {kms1 + kms2 + addresses, kms2 + addresses, "-licensed kms2.corp.example.org", 1, []string{"expected", "kms1.corp", "not a licensed host of the list; asked now: passed"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-zone", "corp.example.org", "-check", zoneServer(t, tt.was), zoneServer(t, tt.is)}, strings.Fields(tt.args)...)
			status, stdout, stderr := runImport(t, args...)
			rest, ok := stdout+stderr, true
			for _, w := range tt.want {
				if _, rest, ok = strings.Cut(rest, w); !ok {
					t.Errorf("No %q in the rest", w)
				}
			}
			if status != tt.status || !ok {
				t.Errorf("Status %d, want %d\n%s%s", status, tt.status, stdout, stderr)
			}
		})
	}
}

func TestImportCheckJSON(t *testing.T) {
	down := nobody(t)
	_, port, _ := net.SplitHostPort(down)
	records := "_vlmcs._tcp SRV 0 0 " + port + " kms1\nkms1 A 127.0.0.1\n"
	status, stdout, _ := runImport(t, "-json", "-check", zoneServer(t, records), zoneServer(t, "_vlmcs._tcp A 192.0.2.1\n"), "-zone", "corp.example.org")
	var got struct {
		Version         int
		Status, Service string
		Old, New        struct {
			Server string
			TTL    uint32
		}
		Hosts []struct {
			Host, Finding string
			Expected      bool
			Words         []string
			Result        struct{ Outcome string }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if status != 1 || got.Version != 1 || got.Status != "WARNING" || got.Service != "_vlmcs._tcp.corp.example.org." || got.Old.TTL != 60 || len(got.Hosts) != 1 ||
		got.Hosts[0].Host != "kms1.corp.example.org:"+port || got.Hosts[0].Finding != "missing" || !got.Hosts[0].Expected || got.Hosts[0].Result.Outcome != "refused" {
		t.Errorf("Status %d, %s", status, stdout)
	}
}
