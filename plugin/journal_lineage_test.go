package plugin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// srvs is SRV records for words "TARGET[/PRIORITY]", under serviceOrg with a TTL of 30 seconds.
func srvs(t testing.TB, words string) []dns.RR {
	t.Helper()
	var all []dns.RR
	for _, w := range strings.Fields(words) {
		target, priority, _ := strings.Cut(w, "/")
		if priority == "" {
			priority = "0"
		}
		rr, err := dns.NewRR(fmt.Sprintf("%s 30 IN SRV %s 0 1688 %s.example.org.", serviceOrg, priority, target))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	return all
}

// versions is a lineage of versions with serials from first on, each spelled as srvs does.
func versions(t testing.TB, first uint32, all ...string) *lineage {
	t.Helper()
	var h *lineage
	for i, words := range all {
		soa := apexSOA(serviceOrg, "ns1.example.org.", 30, first+uint32(i))
		if h == nil {
			h = &lineage{soa: soa, records: srvs(t, words)}
		} else {
			h = h.next(soa, srvs(t, words))
		}
	}
	return h
}

// shorthand is a transfer in words: "5" for the SOA record with that serial, "kms1/0" for a host with its priority.
func shorthand(rrs []dns.RR) string {
	var words []string
	for _, rr := range rrs {
		switch rr := rr.(type) {
		case *dns.SOA:
			words = append(words, fmt.Sprint(rr.Serial))
		case *dns.SRV:
			words = append(words, fmt.Sprintf("%s/%d", strings.TrimSuffix(rr.Target, ".example.org."), rr.Priority))
		case *dns.NS:
			words = append(words, "NS="+rr.Ns)
		default:
			words = append(words, rr.Header().Name+"="+dns.Field(rr, 1))
		}
	}
	return strings.Join(words, " ")
}

func TestStream(t *testing.T) {
	// kms2 becomes suspect, dies, and is back.
	life := versions(t, 5, "kms1 kms2", "kms1 kms2/1", "kms1", "kms1 kms2")
	for name, tt := range map[string]struct {
		h      *lineage
		serial uint32
		want   string
		kind   transferKind
	}{
		"whole":                   {life, 0, "8 kms1/0 kms2/0 8", transferFull},
		"from the version before": {life, 7, "8 7 8 kms2/0 8", transferIncremental},
		"from two versions before": {life, 6,
			"8 6 kms2/1 7 7 8 kms2/0 8", transferIncremental},
		"from the first": {life, 5,
			"8 5 kms2/0 6 kms2/1 6 kms2/1 7 7 8 kms2/0 8", transferIncremental},
		"up to date":                           {life, 8, "8", transferNone},
		"ahead":                                {life, 9, "8", transferNone},
		"far ahead":                            {life, 8 + 1<<31 - 1, "8", transferNone},
		"half the circle away: nobody can say": {life, 8 + 1<<31, "8 kms1/0 kms2/0 8", transferFull},
		"too old":                              {life, 4, "8 kms1/0 kms2/0 8", transferFull},
		"one version, whole":                   {versions(t, 5, "kms1"), 0, "5 kms1/0 5", transferFull},
		"one version, older":                   {versions(t, 5, "kms1"), 4, "5 kms1/0 5", transferFull},
		"empty":                                {versions(t, 5, "kms1", ""), 0, "6 6", transferFull},
		"became empty":                         {versions(t, 5, "kms1", ""), 5, "6 5 kms1/0 6 6", transferIncremental},
		"over the wrap":                        {versions(t, 0xffffffff, "kms1", "kms2"), 0xffffffff, "0 4294967295 kms1/0 0 kms2/0 0", transferIncremental},
	} {
		t.Run(name, func(t *testing.T) {
			rrs, kind := tt.h.stream(tt.serial)
			if got := shorthand(rrs); got != tt.want || kind != tt.kind {
				t.Errorf("Got %s: %s\nwant %s: %s", kind, got, tt.kind, tt.want)
			}
		})
	}
}

// TestStreamGolden has every octet of what a secondary reads, but for the header of the message.
func TestStreamGolden(t *testing.T) {
	const soa = "_vlmcs._tcp.example.org.\t30\tIN\tSOA\tns1.example.org. hostmaster.example.org. %d 60 30 1209600 5"
	rrs, _ := versions(t, 5, "kms1 kms2", "kms1 kms2/1").stream(5)
	want := []string{
		fmt.Sprintf(soa, 6),
		fmt.Sprintf(soa, 5),
		"_vlmcs._tcp.example.org.\t30\tIN\tSRV\t0 0 1688 kms2.example.org.",
		fmt.Sprintf(soa, 6),
		"_vlmcs._tcp.example.org.\t30\tIN\tSRV\t1 0 1688 kms2.example.org.",
		fmt.Sprintf(soa, 6),
	}
	var got []string
	for _, rr := range rrs {
		got = append(got, rr.String())
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("Got\n%s\nwant\n%s", g, w)
	}
}

// replay is what a secondary that had records makes of a transfer, as RFC 1995 4 tells it to.
func replay(t *testing.T, had []dns.RR, rrs []dns.RR) []dns.RR {
	t.Helper()
	last := len(rrs) - 1
	if rrs[0].String() != rrs[last].String() {
		t.Fatalf("Begins with %s and ends with %s", rrs[0], rrs[last])
	}
	if _, ok := rrs[1].(*dns.SOA); !ok || last == 1 {
		return rrs[1:last]
	}
	adding := true
	for _, rr := range rrs[1:last] {
		if _, ok := rr.(*dns.SOA); ok {
			adding = !adding
			continue
		}
		if adding {
			had = append(had, rr)
			continue
		}
		left := without(had, []dns.RR{rr})
		if len(left) != len(had)-1 {
			t.Fatalf("%s is to go, of which there are %d", rr, len(had)-len(left))
		}
		had = left
	}
	return had
}

// TestStreamFromEveryVersion: whichever version a secondary has, what it is sent makes it the newest; and no more versions are
// kept than there may be.
func TestStreamFromEveryVersion(t *testing.T) {
	const n = maxChanges + 20
	words := make([]string, n)
	for i := range words {
		for host := range 6 {
			if (i*7+host*i)%5 != 0 {
				words[i] += fmt.Sprintf("kms%d/%d ", host, (i/3+host)%3)
			}
		}
	}
	h := versions(t, 100, words...)
	if len(h.changes) != maxChanges {
		t.Errorf("%d changes are kept, want %d", len(h.changes), maxChanges)
	}
	for i := range n - 1 {
		rrs, kind := h.stream(100 + uint32(i))
		if want := i >= n-1-maxChanges; want != (kind == transferIncremental) {
			t.Errorf("From version %d: %s", i, kind)
		}
		got := replay(t, srvs(t, words[i]), rrs)
		if gone, come := sift(got, h.records); len(gone)+len(come) > 0 {
			t.Errorf("From version %d: has %v too much and %v too little", i, gone, come)
		}
	}
}

func TestSame(t *testing.T) {
	h := versions(t, 5, "kms1 kms2/1")
	longer := srvs(t, "kms1 kms2/1")
	longer[0].Header().Ttl = 60
	soa := func(ns string, ttl uint32) *dns.SOA { return apexSOA(serviceOrg, ns, ttl, 99) }
	for name, tt := range map[string]struct {
		soa     *dns.SOA
		records []dns.RR
		want    bool
	}{
		"the same":            {soa("ns1.example.org.", 30), srvs(t, "kms1 kms2/1"), true},
		"in another order":    {soa("ns1.example.org.", 30), srvs(t, "kms2/1 kms1"), true},
		"another priority":    {soa("ns1.example.org.", 30), srvs(t, "kms1 kms2/2"), false},
		"one less":            {soa("ns1.example.org.", 30), srvs(t, "kms1"), false},
		"one more":            {soa("ns1.example.org.", 30), srvs(t, "kms1 kms2/1 kms3"), false},
		"another TTL":         {soa("ns1.example.org.", 30), longer, false},
		"another name server": {soa("ns2.example.org.", 30), srvs(t, "kms1 kms2/1"), false},
		"another TTL of SOA":  {soa("ns1.example.org.", 60), srvs(t, "kms1 kms2/1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := h.same(tt.soa, tt.records); got != tt.want {
				t.Errorf("Got %v", got)
			}
		})
	}
}
