package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// records is what every contender answers: _vlmcs._tcp in each of a hundred zones, with four hosts in two tiers and their
// addresses. The hosts are known by address, 127.0.0.1 to 127.0.0.4, so that one kms block with one pool serves all zones;
// the others get the names that kms makes up for them, in a single zone: the file plugin looks through its zones one by one.
type records struct {
	port int    // of all hosts
	file string // a zone file of example., which holds them all
}

const (
	zoneCount = 100
	hostCount = 4
	ttl       = 30 // as kms has it by default
)

func zone(i int) string { return fmt.Sprintf("zone%02d.example.", i) }

func hostAddress(i int) string { return fmt.Sprintf("127.0.0.%d", i+1) }

func hostLabel(i int) string { return "kms-" + strings.ReplaceAll(hostAddress(i), ".", "-") }

// preference is the priority and weight of host i: 0 10, 0 30, 1 10, 1 30.
func preference(i int) (priority, weight int) { return i / 2, 10 + 20*(i%2) }

// newRecords writes the zone file to dir.
func newRecords(dir string, port int) (records, error) {
	r := records{port: port, file: filepath.Join(dir, "zone")}
	var z strings.Builder
	// No NS record: the file plugin would put it into the authority section of every answer, which nobody else has.
	z.WriteString("@ 3600 IN SOA ns.dns hostmaster 1 7200 1800 86400 30\n")
	for n := range zoneCount {
		for i := range hostCount {
			priority, weight := preference(i)
			fmt.Fprintf(&z, "_vlmcs._tcp.%s %d IN SRV %d %d %d %s.%[1]s\n", zone(n), ttl, priority, weight, port, hostLabel(i))
		}
		for i := range hostCount {
			fmt.Fprintf(&z, "%s.%s %d IN A %s\n", hostLabel(i), zone(n), ttl, hostAddress(i))
		}
	}
	return r, os.WriteFile(r.file, []byte(z.String()), 0o644)
}

// queries writes dnsperf's input to dir and returns its name.
func (r records) queries(dir string) (string, error) {
	var q strings.Builder
	for i := range zoneCount {
		fmt.Fprintf(&q, "_vlmcs._tcp.%s SRV\n", zone(i))
	}
	name := filepath.Join(dir, "queries")
	return name, os.WriteFile(name, []byte(q.String()), 0o644)
}

// kms is the block that answers with the records. Only what the records ask for differs from the defaults.
func (r records) kms() string {
	var b strings.Builder
	b.WriteString("kms")
	for i := range zoneCount {
		b.WriteString(" " + zone(i))
	}
	b.WriteString(" {\n")
	for i := range hostCount {
		priority, weight := preference(i)
		fmt.Fprintf(&b, "host %s:%d priority %d weight %d\n", hostAddress(i), r.port, priority, weight)
	}
	return b.String() + "}\n"
}

// kmsWatched is kms in the company that it has in earnest.
func (r records) kmsWatched() string { return "errors\nprometheus 127.0.0.1:0\n" + r.kms() }

func (r records) constant() string { return fmt.Sprintf("constant %s example\n", r.file) }

func (r records) zoneFile() string { return fmt.Sprintf("file %s example\n", r.file) }

func (r records) template() string {
	const group = "{{ .Group.zone }}"
	var b strings.Builder
	b.WriteString("template IN SRV example {\nmatch \"^_vlmcs[.]_tcp[.](?P<zone>zone[0-9]+[.]example[.])$\"\n")
	for i := range hostCount {
		priority, weight := preference(i)
		fmt.Fprintf(&b, "answer \"{{ .Name }} %d IN SRV %d %d %d %s.%s\"\n", ttl, priority, weight, r.port, hostLabel(i), group)
	}
	for i := range hostCount {
		fmt.Fprintf(&b, "additional \"%s.%s %d IN A %s\"\n", hostLabel(i), group, ttl, hostAddress(i))
	}
	return b.String() + "}\n"
}

// check says what is wrong with m as an answer for zone number z.
func (r records) check(m *dns.Msg, z int) error {
	var answer, extra []string
	for i := range hostCount {
		priority, weight := preference(i)
		answer = append(answer, fmt.Sprintf("_vlmcs._tcp.%s\t%d\tIN\tSRV\t%d %d %d %s.%s",
			zone(z), ttl, priority, weight, r.port, hostLabel(i), zone(z)))
		extra = append(extra, fmt.Sprintf("%s.%s\t%d\tIN\tA\t%s", hostLabel(i), zone(z), ttl, hostAddress(i)))
	}
	rest := slices.DeleteFunc(slices.Clone(m.Extra), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	switch {
	case m.Rcode != dns.RcodeSuccess || !m.Authoritative || m.Truncated || len(m.Ns) > 0 || m.IsEdns0() == nil:
		return fmt.Errorf("want an authoritative answer with EDNS and no authority section, got:\n%v", m)
	case !sameRecords(m.Answer, answer):
		return fmt.Errorf("want the answer %q, got:\n%v", answer, m)
	case !sameRecords(rest, extra):
		return fmt.Errorf("want the addresses %q, got:\n%v", extra, m)
	}
	return nil
}

// sameRecords compares without regard to the order, which is the server's to choose.
func sameRecords(got []dns.RR, want []string) bool {
	var all []string
	for _, rr := range got {
		all = append(all, rr.String())
	}
	slices.Sort(all)
	slices.Sort(want)
	return slices.Equal(all, want)
}
