package plugin

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// newUpdateMessage is an UPDATE as a server reads it. Its records are lines as in a zone file, whose class and TTL say what
// is to be done.
func newUpdateMessage(t testing.TB, zone string, prerequisites, changes []string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetUpdate(zone)
	m.Answer, m.Ns = parseRecords(t, prerequisites), parseRecords(t, changes)
	return reread(t, m)
}

// reread is m after a journey: only on the wire does a record have a length.
func reread(t testing.TB, m *dns.Msg) *dns.Msg {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatalf("Cannot pack %s: %v", m, err)
	}
	read := new(dns.Msg)
	if err := read.Unpack(wire); err != nil {
		t.Fatalf("Cannot unpack %s: %v", m, err)
	}
	return read
}

// parseRecords reads "NAME TTL CLASS TYPE [DATA]", in which the class may be any and the data may be missing.
func parseRecords(t testing.TB, lines []string) []dns.RR {
	t.Helper()
	var all []dns.RR
	for _, line := range lines {
		words := strings.SplitN(line, " ", 5)
		rrtype, known := dns.StringToType[words[3]]
		if !known {
			fmt.Sscanf(words[3], "TYPE%d", &rrtype)
		}
		var rr dns.RR = &dns.ANY{Hdr: dns.RR_Header{Name: words[0], Rrtype: rrtype}}
		if len(words) == 5 {
			var err error
			if rr, err = dns.NewRR(". IN " + strings.Join(words[3:], " ")); isMeta(rrtype) {
				rr, err = &dns.RFC3597{Hdr: dns.RR_Header{Rrtype: rrtype}, Rdata: strings.TrimPrefix(words[4], `\# 1 `)}, nil
			}
			if err != nil || rr == nil {
				t.Fatalf("Cannot read %q: %v", line, err)
			}
		}
		h := rr.Header()
		h.Name, h.Class = words[0], dns.StringToClass[words[2]]
		fmt.Sscan(words[1], &h.Ttl)
		all = append(all, rr)
	}
	return all
}

// splitLines is a list of lines with "; " between.
func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "; ")
}

// rfcZone is what the zone of the table has.
var rfcZone = []string{
	"example.org. 60 IN SOA ns1.example.org. root.example.org. 10 7200 1800 86400 60",
	"example.org. 60 IN NS ns1.example.org.",
	"example.org. 60 IN NS ns2.example.org.",
	"example.org. 60 IN MX 10 mail.example.org.",
	"alone.example.org. 60 IN NS ns1.example.org.",
	"alias.example.org. 60 IN CNAME www.example.org.",
	"www.example.org. 60 IN A 192.0.2.1",
	"www.example.org. 60 IN A 192.0.2.2",
	"www.example.org. 60 IN TXT \"one\"",
	"_vlmcs._tcp.example.org. 60 IN SRV 0 5 1688 kms1.example.org.",
}

// contentsOf is a zone with records, of which nothing is fixed.
func contentsOf(t testing.TB, zone string, records []string) *contents {
	t.Helper()
	c := newContents(zone, nil)
	for _, rr := range parseRecords(t, records) {
		c.put(entry{rr: inClass(rr, dns.ClassINET), owner: "somebody"})
	}
	return c
}

// words is the records of c, sorted, TTLs apart.
func (c *contents) words() []string {
	var all []string
	for _, e := range c.entries {
		rr := dns.Copy(e.rr)
		rr.Header().Ttl = 0
		all = append(all, rr.String())
	}
	slices.Sort(all)
	return all
}

// TestRFC2136 has a row for each rule of RFC 2136 sections 3.2 and 3.4; section 3.1 is in TestUpdateZoneSection, 3.3 in
// TestUpdatePolicy, and 3.4.2.1, 3.5, 3.7 and 3.8 are in TestUpdateIsAtomic, TestUpdateSystemFailure and TestUpdateReply.
func TestRFC2136(t *testing.T) {
	for name, tt := range map[string]struct {
		prerequisites, changes string
		rcode                  int
		removed, added         string // from and to rfcZone
	}{
		"3.2 name in another zone: NOTZONE": {prerequisites: "www.example.net. 0 ANY A",
			rcode: dns.RcodeNotZone},
		"3.2 the name of the zone itself is within it": {prerequisites: "EXAMPLE.org. 0 ANY SOA"},
		"3.2 a name that merely ends alike: NOTZONE": {prerequisites: "www.theexample.org. 0 ANY ANY",
			rcode: dns.RcodeNotZone},
		"3.2.5 TTL is looked at before the zone": {prerequisites: "www.example.net. 1 ANY A",
			rcode: dns.RcodeFormatError},
		"3.2.5 the zone is looked at before RDLENGTH": {prerequisites: "www.example.net. 0 ANY A 192.0.2.1",
			rcode: dns.RcodeNotZone},
		"3.2.5 in order: the first that does not hold":   {prerequisites: "no.example.org. 0 ANY ANY; www.example.org. 0 NONE A", rcode: dns.RcodeNameError},
		"3.2.5 a bad form behind one that does not hold": {prerequisites: "no.example.org. 0 ANY ANY; www.example.org. 1 NONE A", rcode: dns.RcodeNameError},
		"3.2.5 whole RRsets are compared last":           {prerequisites: "www.example.org. 0 IN A 192.0.2.9; www.example.org. 0 NONE A", rcode: dns.RcodeYXRrset},
		"3.2.1 class ANY, TTL not 0: FORMERR": {prerequisites: "www.example.org. 1 ANY A",
			rcode: dns.RcodeFormatError},
		"3.2.1 class ANY, RDLENGTH not 0: FORMERR": {prerequisites: "www.example.org. 0 ANY A 192.0.2.1",
			rcode: dns.RcodeFormatError},
		"3.2.1 class ANY type ANY, name in use": {prerequisites: "WWW.example.org. 0 ANY ANY"},
		"3.2.1 class ANY type ANY, name not in use: NXDOMAIN": {prerequisites: "no.example.org. 0 ANY ANY",
			rcode: dns.RcodeNameError},
		"3.2.1 a name with others below is not in use: NXDOMAIN": {prerequisites: "_tcp.example.org. 0 ANY ANY",
			rcode: dns.RcodeNameError},
		"3.2.1 class ANY, RRset exists": {prerequisites: "www.example.org. 0 ANY A"},
		"3.2.1 class ANY, no such RRset: NXRRSET": {prerequisites: "www.example.org. 0 ANY AAAA",
			rcode: dns.RcodeNXRrset},
		"3.2.1 class ANY, no such name: NXRRSET": {prerequisites: "no.example.org. 0 ANY A",
			rcode: dns.RcodeNXRrset},
		"3.2.1 an alias has no data of another type: NXRRSET": {prerequisites: "alias.example.org. 0 ANY A",
			rcode: dns.RcodeNXRrset},
		"3.2.2 class NONE, TTL not 0: FORMERR": {prerequisites: "no.example.org. 1 NONE A",
			rcode: dns.RcodeFormatError},
		"3.2.2 class NONE, RDLENGTH not 0: FORMERR": {prerequisites: "no.example.org. 0 NONE A 192.0.2.1",
			rcode: dns.RcodeFormatError},
		"3.2.2 class NONE type ANY, name not in use": {prerequisites: "no.example.org. 0 NONE ANY"},
		"3.2.2 class NONE type ANY, name in use: YXDOMAIN": {prerequisites: "www.example.org. 0 NONE ANY",
			rcode: dns.RcodeYXDomain},
		"3.2.2 class NONE, no such RRset": {prerequisites: "www.example.org. 0 NONE CNAME"},
		"3.2.2 class NONE, RRset exists: YXRRSET": {prerequisites: "www.example.org. 0 NONE A",
			rcode: dns.RcodeYXRrset},
		"3.2.3 class IN, TTL not 0: FORMERR": {prerequisites: "www.example.org. 60 IN A 192.0.2.1",
			rcode: dns.RcodeFormatError},
		"3.2.3 whole RRset, in whatever order":          {prerequisites: "www.example.org. 0 IN A 192.0.2.2; WWW.example.org. 0 IN A 192.0.2.1"},
		"3.2.3 the same twice is the same set":          {prerequisites: "www.example.org. 0 IN A 192.0.2.2; www.example.org. 0 IN A 192.0.2.1; www.example.org. 0 IN A 192.0.2.1"},
		"3.2.3 names in data are compared without case": {prerequisites: "_vlmcs._tcp.example.org. 0 IN SRV 0 5 1688 KMS1.Example.org."},
		"3.2.3 two sets of one name": {prerequisites: "www.example.org. 0 IN A 192.0.2.2; www.example.org. 0 IN TXT one; " +
			"www.example.org. 0 IN A 192.0.2.1"},
		"3.2.3 no less: NXRRSET": {prerequisites: "www.example.org. 0 IN A 192.0.2.1",
			rcode: dns.RcodeNXRrset},
		"3.2.3 no more: NXRRSET":    {prerequisites: "www.example.org. 0 IN A 192.0.2.1; www.example.org. 0 IN A 192.0.2.2; www.example.org. 0 IN A 192.0.2.3", rcode: dns.RcodeNXRrset},
		"3.2.3 other data: NXRRSET": {prerequisites: "_vlmcs._tcp.example.org. 0 IN SRV 1 5 1688 kms1.example.org.", rcode: dns.RcodeNXRrset},
		"3.2.3 no such RRset: NXRRSET": {prerequisites: "no.example.org. 0 IN A 192.0.2.1",
			rcode: dns.RcodeNXRrset},
		"3.2.3 one set of several is not matched: NXRRSET": {prerequisites: "www.example.org. 0 IN TXT one; _vlmcs._tcp.example.org. 0 IN SRV 0 0 1688 kms2.example.org.", rcode: dns.RcodeNXRrset},
		"3.2.3 another class: FORMERR": {prerequisites: "www.example.org. 0 CH A 192.0.2.1",
			rcode: dns.RcodeFormatError},
		"3.2.4 class IN type ANY is no prerequisite: FORMERR": {prerequisites: "www.example.org. 0 IN ANY",
			rcode: dns.RcodeFormatError},
		"3.2.4 class ANY type AXFR is no prerequisite: FORMERR": {prerequisites: "www.example.org. 0 ANY AXFR",
			rcode: dns.RcodeFormatError},
		"3.2.4 class NONE type MAILB is no prerequisite: FORMERR": {prerequisites: "www.example.org. 0 NONE MAILB",
			rcode: dns.RcodeFormatError},
		"3.2.4 all five kinds together": {prerequisites: "www.example.org. 0 ANY ANY; www.example.org. 0 ANY A; no.example.org. 0 NONE ANY; " +
			"www.example.org. 0 NONE AAAA; www.example.org. 0 IN TXT one"},

		"3.4.1.1 class CH: FORMERR": {changes: "www.example.org. 60 CH A 192.0.2.3",
			rcode: dns.RcodeFormatError},
		"3.4.1.1 name in another zone: NOTZONE": {changes: "www.example.net. 60 IN A 192.0.2.3",
			rcode: dns.RcodeNotZone},
		"3.4.1.1 name of a deletion in another zone: NOTZONE": {changes: "www.example.net. 0 ANY A",
			rcode: dns.RcodeNotZone},
		"3.4.1.2 class IN type ANY: FORMERR": {changes: "www.example.org. 60 IN ANY",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class IN type AXFR: FORMERR": {changes: "www.example.org. 60 IN AXFR \\# 1 00",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class IN type IXFR: FORMERR": {changes: "www.example.org. 60 IN IXFR \\# 1 00",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class IN type MAILA: FORMERR": {changes: "www.example.org. 60 IN MAILA \\# 1 00",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class IN type MAILB: FORMERR": {changes: "www.example.org. 60 IN MAILB \\# 1 00",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class IN type not recognised: FORMERR": {changes: "www.example.org. 60 IN TYPE65280 \\# 1 00",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class IN type WKS is not recognised: FORMERR": {changes: "www.example.org. 60 IN TYPE11 \\# 6 c00002010611", rcode: dns.RcodeFormatError},
		"3.4.1.2 class NONE type ANY: FORMERR": {changes: "www.example.org. 0 NONE ANY",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class NONE type AXFR: FORMERR": {changes: "www.example.org. 0 NONE AXFR",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class NONE type not recognised: FORMERR": {changes: "www.example.org. 0 NONE TYPE65280 \\# 1 00",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class ANY, TTL not 0: FORMERR": {changes: "www.example.org. 1 ANY A",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class NONE, TTL not 0: FORMERR": {changes: "www.example.org. 1 NONE A 192.0.2.1",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class ANY, RDLENGTH not 0: FORMERR": {changes: "www.example.org. 0 ANY A 192.0.2.1",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class ANY type AXFR: FORMERR": {changes: "www.example.org. 0 ANY AXFR",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class ANY type MAILA: FORMERR": {changes: "www.example.org. 0 ANY MAILA",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class ANY type MAILB: FORMERR": {changes: "www.example.org. 0 ANY MAILB",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class ANY type OPT: FORMERR":      {changes: "www.example.org. 0 ANY OPT", rcode: dns.RcodeFormatError},
		"3.4.1.2 class NONE type 0: FORMERR":       {changes: "www.example.org. 0 NONE TYPE0", rcode: dns.RcodeFormatError},
		"3.2.4 type 0 is no prerequisite: FORMERR": {prerequisites: "www.example.org. 0 ANY TYPE0", rcode: dns.RcodeFormatError},
		"3.4.1.2 class ANY type not recognised: FORMERR": {changes: "www.example.org. 0 ANY TYPE65280",
			rcode: dns.RcodeFormatError},
		"3.4.1.2 class IN without data: FORMERR": {changes: "www.example.org. 60 IN NULL",
			rcode: dns.RcodeFormatError},
		"3.4.1.3 one bad record at the end, and nothing is done": {changes: "new.example.org. 60 IN A 192.0.2.3; www.example.org. 1 ANY A", rcode: dns.RcodeFormatError},
		"3.4.1.3 prerequisites come first": {prerequisites: "www.example.org. 0 NONE A",
			changes: "www.example.org. 1 ANY A", rcode: dns.RcodeYXRrset},
		"3.4.2.2 a record is added to a set": {changes: "www.example.org. 60 IN A 192.0.2.3",
			added: "www.example.org.\t0\tIN\tA\t192.0.2.3"},
		"3.4.2.2 a record is added to a name": {changes: "www.example.org. 60 IN AAAA 2001:db8::1",
			added: "www.example.org.\t0\tIN\tAAAA\t2001:db8::1"},
		"3.4.2.2 a name is added": {changes: "NEW.example.org. 60 IN A 192.0.2.3",
			added: "new.example.org.\t0\tIN\tA\t192.0.2.3"},
		"3.4.2.2 duplicate data replaces, whatever its TTL":      {changes: "www.example.org. 86400 IN A 192.0.2.1"},
		"3.4.2.2 duplicate data in another case":                 {changes: "_VLMCS._tcp.example.org. 60 IN SRV 0 5 1688 KMS1.example.org."},
		"3.4.2.2 of a KMS host there is one record":              {changes: "_vlmcs._tcp.example.org. 60 IN SRV 9 9 1688 kms1.example.org.", removed: "_vlmcs._tcp.example.org.\t0\tIN\tSRV\t0 5 1688 kms1.example.org.", added: "_vlmcs._tcp.example.org.\t0\tIN\tSRV\t9 9 1688 kms1.example.org."},
		"3.4.2.2 on another port it is another host":             {changes: "_vlmcs._tcp.example.org. 60 IN SRV 0 5 1689 kms1.example.org.", added: "_vlmcs._tcp.example.org.\t0\tIN\tSRV\t0 5 1689 kms1.example.org."},
		"3.4.2.2 SOA with a greater serial replaces":             {changes: "example.org. 60 IN SOA ns1.example.org. root.example.org. 11 7200 1800 86400 60", removed: "example.org.\t0\tIN\tSOA\tns1.example.org. root.example.org. 10 7200 1800 86400 60", added: "example.org.\t0\tIN\tSOA\tns1.example.org. root.example.org. 11 7200 1800 86400 60"},
		"3.4.2.2 SOA with the same serial is ignored":            {changes: "example.org. 60 IN SOA ns9.example.org. root.example.org. 10 7200 1800 86400 60"},
		"3.4.2.2 SOA with a lower serial is ignored":             {changes: "example.org. 60 IN SOA ns9.example.org. root.example.org. 9 7200 1800 86400 60"},
		"3.4.2.2 SOA with a serial lower by RFC 1982 is ignored": {changes: "example.org. 60 IN SOA ns9.example.org. root.example.org. 2147483700 7200 1800 86400 60"},
		"3.4.2.2 SOA where none is is ignored":                   {changes: "www.example.org. 60 IN SOA ns1.example.org. root.example.org. 11 7200 1800 86400 60"},
		"3.4.2.2 CNAME beside other data is ignored":             {changes: "www.example.org. 60 IN CNAME new.example.org."},
		"3.4.2.2 other data beside a CNAME is ignored":           {changes: "alias.example.org. 60 IN A 192.0.2.3"},
		"3.4.2.2 CNAME replaces a CNAME":                         {changes: "alias.example.org. 60 IN CNAME new.example.org.", removed: "alias.example.org.\t0\tIN\tCNAME\twww.example.org.", added: "alias.example.org.\t0\tIN\tCNAME\tnew.example.org."},
		"3.4.2.2 CNAME where nothing is is added": {changes: "new.example.org. 60 IN CNAME www.example.org.",
			added: "new.example.org.\t0\tIN\tCNAME\twww.example.org."},
		"3.4.2.3 all RRsets of a name are deleted": {changes: "www.example.org. 0 ANY ANY",
			removed: "www.example.org.\t0\tIN\tA\t192.0.2.1; www.example.org.\t0\tIN\tA\t192.0.2.2; www.example.org.\t0\tIN\tTXT\t\"one\""},
		"3.4.2.3 all RRsets of the zone's name but SOA and NS": {changes: "example.org. 0 ANY ANY",
			removed: "example.org.\t0\tIN\tMX\t10 mail.example.org."},
		"3.4.2.3 an RRset is deleted": {changes: "www.example.org. 0 ANY A",
			removed: "www.example.org.\t0\tIN\tA\t192.0.2.1; www.example.org.\t0\tIN\tA\t192.0.2.2"},
		"3.4.2.3 an RRset that is not there":         {changes: "www.example.org. 0 ANY AAAA; no.example.org. 0 ANY ANY"},
		"3.4.2.3 the SOA of the zone is not deleted": {changes: "example.org. 0 ANY SOA"},
		"3.4.2.3 the NS of the zone are not deleted": {changes: "example.org. 0 ANY NS"},
		"3.4.2.3 NS elsewhere are deleted": {changes: "alone.example.org. 0 ANY NS",
			removed: "alone.example.org.\t0\tIN\tNS\tns1.example.org."},
		"3.4.2.4 a record is deleted": {changes: "WWW.example.org. 0 NONE A 192.0.2.1",
			removed: "www.example.org.\t0\tIN\tA\t192.0.2.1"},
		"3.4.2.4 a record with names in its data is deleted": {changes: "_vlmcs._tcp.example.org. 0 NONE SRV 0 5 1688 KMS1.example.org.", removed: "_vlmcs._tcp.example.org.\t0\tIN\tSRV\t0 5 1688 kms1.example.org."},
		"3.4.2.4 other data, and nothing is deleted":         {changes: "www.example.org. 0 NONE A 192.0.2.9; _vlmcs._tcp.example.org. 0 NONE SRV 9 5 1688 kms1.example.org."},
		"3.4.2.4 the SOA of the zone is not deleted":         {changes: "example.org. 0 NONE SOA ns1.example.org. root.example.org. 10 7200 1800 86400 60"},
		"3.4.2.4 one of two NS is deleted": {changes: "example.org. 0 NONE NS ns2.example.org.",
			removed: "example.org.\t0\tIN\tNS\tns2.example.org."},
		"3.4.2.4 the last NS is not deleted": {changes: "example.org. 0 NONE NS ns2.example.org.; example.org. 0 NONE NS ns1.example.org.", removed: "example.org.\t0\tIN\tNS\tns2.example.org."},
		"3.4.2.4 the last NS elsewhere is deleted": {changes: "alone.example.org. 0 NONE NS ns1.example.org.",
			removed: "alone.example.org.\t0\tIN\tNS\tns1.example.org."},
		"3.4.2.5 NOERROR for nothing at all":                      {},
		"3.4.2.7 in order: deleted, then added":                   {changes: "www.example.org. 0 ANY A; www.example.org. 60 IN A 192.0.2.3", removed: "www.example.org.\t0\tIN\tA\t192.0.2.1; www.example.org.\t0\tIN\tA\t192.0.2.2", added: "www.example.org.\t0\tIN\tA\t192.0.2.3"},
		"3.4.2.7 in order: added, then deleted":                   {changes: "www.example.org. 60 IN A 192.0.2.3; www.example.org. 0 ANY A", removed: "www.example.org.\t0\tIN\tA\t192.0.2.1; www.example.org.\t0\tIN\tA\t192.0.2.2"},
		"3.4.2.7 in order: an alias where everything was deleted": {changes: "www.example.org. 0 ANY ANY; www.example.org. 60 IN CNAME new.example.org.", removed: "www.example.org.\t0\tIN\tA\t192.0.2.1; www.example.org.\t0\tIN\tA\t192.0.2.2; www.example.org.\t0\tIN\tTXT\t\"one\"", added: "www.example.org.\t0\tIN\tCNAME\tnew.example.org."},
		"3.4.2.7 deleted and added again is no difference":        {changes: "www.example.org. 0 ANY A; www.example.org. 60 IN A 192.0.2.2; www.example.org. 60 IN A 192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			before := contentsOf(t, "example.org.", rfcZone)
			was := before.words()
			m := newUpdateMessage(t, "example.org.", splitLines(tt.prerequisites), splitLines(tt.changes))
			after, d, rcode := before, difference{}, dns.RcodeSuccess
			r := prerequisites(before, m.Answer)
			if r == nil {
				r = prescan("example.org.", m.Ns)
			}
			if r != nil {
				rcode = r.rcode
			} else {
				after = before.apply(m.Ns, "me")
				d = after.difference(before)
			}
			if rcode != tt.rcode {
				t.Fatalf("Got %s (%v), want %s", dns.RcodeToString[rcode], r, dns.RcodeToString[tt.rcode])
			}
			if !slices.Equal(before.words(), was) {
				t.Error("The zone before was changed")
			}
			want := slices.DeleteFunc(slices.Clone(was), func(s string) bool { return slices.Contains(splitLines(tt.removed), s) })
			if len(want) != len(was)-len(splitLines(tt.removed)) {
				t.Fatalf("%q is not all in the zone", tt.removed)
			}
			want = append(want, splitLines(tt.added)...)
			slices.Sort(want)
			if got := after.words(); !slices.Equal(got, want) {
				t.Errorf("Got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got := (&contents{entries: d.removed}).words(); !slices.Equal(got, splitLines(tt.removed)) {
				t.Errorf("Got %q removed, want %q", got, tt.removed)
			}
			if got := (&contents{entries: d.added}).words(); !slices.Equal(got, splitLines(tt.added)) {
				t.Errorf("Got %q added, want %q", got, tt.added)
			}
		})
	}
}

// TestRenewed shows what counts as announced again: what was announced before, whether or not it was deleted in between, and
// nothing that is fixed.
func TestRenewed(t *testing.T) {
	for name, changes := range map[string][]string{
		"added again":             {"kms.example.org. 60 IN A 192.0.2.1", "kms.example.org. 60 IN A 192.0.2.2"},
		"deleted and added again": {"kms.example.org. 0 ANY ANY", "kms.example.org. 60 IN A 192.0.2.1", "kms.example.org. 60 IN A 192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			before := newContents("example.org.", nil)
			rrs := parseRecords(t, []string{"kms.example.org. 60 IN A 192.0.2.1", "kms.example.org. 60 IN A 192.0.2.2"})
			before.put(entry{rr: rrs[0], owner: "somebody"})
			before.put(entry{rr: rrs[1], fixed: ofCorefile})
			m := newUpdateMessage(t, "example.org.", nil, changes)
			d := before.apply(m.Ns, "me").difference(before)
			if got := (&contents{entries: d.renewed}).words(); !slices.Equal(got, []string{"kms.example.org.\t0\tIN\tA\t192.0.2.1"}) {
				t.Errorf("Got %q renewed", got)
			}
			if len(d.added)+len(d.removed) != 0 {
				t.Errorf("Got %v added, %v removed", d.added, d.removed)
			}
		})
	}
}
