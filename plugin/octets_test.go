package plugin

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	supported "github.com/coredns/coredns/plugin/pkg/edns"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/request"

	"github.com/coredns-kms/coredns-kms/internal/pool"

	"github.com/miekg/dns"
)

// toAll has replies written as octets to every writer.
func toAll(dns.ResponseWriter) bool { return true }

func toAllIf(direct bool) func(dns.ResponseWriter) bool {
	if direct {
		return toAll
	}
	return nil
}

// pipe is a client that gets octets, whichever way they are written.
type pipe struct {
	test.ResponseWriter
	got    []byte
	direct bool // they came as octets
}

func (w *pipe) Write(m []byte) (int, error) {
	w.got, w.direct = slices.Clone(m), true
	return len(m), nil
}

func (w *pipe) WriteMsg(m *dns.Msg) (err error) {
	w.got, err = m.Pack()
	return err
}

// said is what a client reads of octets: the header, each record, nothing of how it was compressed.
func said(t *testing.T, octets []byte) string {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(octets); err != nil {
		t.Fatalf("%v:\n%x", err, octets)
	}
	return m.String()
}

// bothWays answers r of a client over UDP or TCP with octets and with records, in the same order, as CoreDNS's server has them
// written. Octets are nil if only records will do.
func bothWays(t *testing.T, h *Handler, r *dns.Msg, tcp bool) (octets, records []byte) {
	t.Helper()
	o, ours := h.find(r.Question[0].Name)
	if !ours {
		t.Fatalf("%s is not ours", r.Question[0].Name)
	}
	w := &pipe{ResponseWriter: test.ResponseWriter{TCP: tcp}}
	q := query{ctx: t.Context(), handler: h, owner: o, state: request.Request{W: w, Req: r}}
	p := o.ready()
	for n := range uint32(16) {
		order := p.snapshot.Order(n << 28)
		octets = q.direct(p, order)
		if err := request.NewScrubWriter(r, w).WriteMsg(q.fill(p, order, nil)); err != nil {
			t.Fatal(err)
		}
		if octets != nil {
			if got, want := said(t, octets), said(t, w.got); got != want {
				t.Fatalf("Octets say\n%s\nand records\n%s", got, want)
			}
			if len(octets) > len(w.got) {
				t.Errorf("%d octets are more than those of records, %d", len(octets), len(w.got))
			}
		}
	}
	return octets, w.got
}

// octetSites has a zone for each kind of host.
func octetSites(t testing.TB) *Handler {
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("kms%d.many.example.net/%d/%d=up@192.0.2.%d@2001:db8::%d", i, i/50, i, i+1, i+1))
	}
	h := New([]*Site{
		site(t, "one.example.net.", "kms1.one.example.net=up@192.0.2.1"),
		site(t, "two.example.net.", "kms1.two.example.net/1/10=up@192.0.2.1@192.0.2.2@2001:db8::1 kms2.two.example.net:1699/0/5=up@2001:db8::2"),
		site(t, "elsewhere.example.net.", "kms1.example.org=up@192.0.2.1 kms2.elsewhere.example.net=up@192.0.2.2"),
		site(t, "ports.example.net.", "kms1.ports.example.net:1688=up@192.0.2.1 kms1.ports.example.net:1689=up@192.0.2.1"),
		site(t, "made-up.example.net.", "192.0.2.1=up [2001:db8::1]:1689=up"),
		site(t, "nowhere.example.net.", "kms1.nowhere.example.net=up"),
		site(t, `od\.d\032na\255me.example.net.`, `192.0.2.1=up`),
		site(t, ".", "kms1.example.net=up@192.0.2.1 192.0.2.2=up"),
		site(t, "many.example.net.", strings.Join(many, " ")),
	}, []string{"."})
	h.Checked, h.Direct = func() bool { return true }, toAll
	return h
}

func TestOctetsSayWhatRecordsSay(t *testing.T) {
	h := octetSites(t)
	for name, o := range h.owners {
		if !o.isService() {
			continue
		}
		for _, tcp := range []bool{false, true} {
			for _, size := range []uint16{0, 512, 1232, 4096} {
				for _, asked := range []string{name, strings.ToUpper(name)} {
					t.Run(fmt.Sprintf("%s/tcp=%v/%d", asked, tcp, size), func(t *testing.T) {
						r := newQuestion(asked, dns.TypeSRV)
						r.CheckingDisabled = tcp
						r.RecursionDesired = !tcp
						if size > 0 {
							edns(r, size, false)
						}
						octets, records := bothWays(t, h, r, tcp)
						// 200 hosts do not fit into UDP, nor below the reach of a pointer.
						if many := strings.Contains(o.zone, "many"); (octets == nil) != many {
							t.Errorf("%d octets, %d with records", len(octets), len(records))
						}
					})
				}
			}
		}
	}
}

// answered is an EDNS option that CoreDNS gives back.
const answered = dns.EDNS0LOCALSTART

func init() { supported.SetSupportedOption(answered) }

// TestOctetsOnlyIfPlain: what is not as most questions are is answered with records, by those who know how.
func TestOctetsOnlyIfPlain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(h *Handler, r *dns.Msg)
		direct bool
	}{
		{"plain", func(*Handler, *dns.Msg) {}, true},
		{"EDNS", func(_ *Handler, r *dns.Msg) { edns(r, 1232, false) }, true},
		{"somebody in front wants records", func(h *Handler, _ *dns.Msg) { h.Direct = nil }, false},
		{"DO", func(_ *Handler, r *dns.Msg) { edns(r, 1232, true) }, false},
		{"another flag of EDNS", func(_ *Handler, r *dns.Msg) { edns(r, 1232, false).IsEdns0().Hdr.Ttl = 1 << 14 }, false},
		{"an option, as resolvers send it", func(_ *Handler, r *dns.Msg) {
			o := edns(r, 1232, false).IsEdns0()
			o.Option = append(o.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"})
		}, true},
		{"an option that a plugin answers", func(_ *Handler, r *dns.Msg) {
			o := edns(r, 1232, false).IsEdns0()
			o.Option = append(o.Option, &dns.EDNS0_LOCAL{Code: answered, Data: []byte{1}})
		}, false},
		{"two additional records", func(_ *Handler, r *dns.Msg) {
			r.Extra = append(edns(r, 1232, false).Extra, test.A("example.org. 1 IN A 192.0.2.1"))
		}, false},
		{"a record that is none of EDNS", func(_ *Handler, r *dns.Msg) {
			r.Extra = []dns.RR{test.A("example.org. 1 IN A 192.0.2.1")}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHandler(nil, site(t, "example.org.", "kms1.example.org=up@192.0.2.1"))
			h.Direct = toAll
			r := newQuestion(serviceOrg, dns.TypeSRV)
			tt.change(h, r)
			w := new(pipe)
			if _, err := h.ServeDNS(t.Context(), request.NewScrubWriter(r, w), r); err != nil || w.got == nil {
				t.Fatalf("Got %x, %v", w.got, err)
			}
			if w.direct != tt.direct {
				t.Errorf("Octets: %v", w.direct)
			}
			if m := said(t, w.got); !strings.Contains(m, "192.0.2.1") {
				t.Errorf("Got %s", m)
			}
		})
	}
}

// TestOctetsFollowTheSnapshot: a host that is drained is in no answer from then on.
func TestOctetsFollowTheSnapshot(t *testing.T) {
	s := site(t, "example.org.", "kms1.example.org=up kms2.example.org=up")
	h := newHandler(nil, s)
	h.Direct = toAll
	targets := func() []string {
		r, w := newQuestion(serviceOrg, dns.TypeSRV), new(pipe)
		if _, err := h.ServeDNS(t.Context(), request.NewScrubWriter(r, w), r); err != nil || !w.direct {
			t.Fatalf("Octets: %v, %v", w.direct, err)
		}
		m := new(dns.Msg)
		if err := m.Unpack(w.got); err != nil {
			t.Fatal(err)
		}
		return services(m)
	}
	if got := targets(); len(got) != 2 {
		t.Fatalf("Got %v", got)
	}
	if err := s.Pool.Drain("kms1.example.org:1688", pool.Drainage{}); err != nil {
		t.Fatal(err)
	}
	if got := targets(); len(got) != 1 || !strings.Contains(got[0], "kms2") {
		t.Errorf("Got %v", got)
	}
}

// FuzzOctets: whatever a question for the service is like, octets say what records say.
func FuzzOctets(f *testing.F) {
	h := octetSites(f)
	var names []string
	for name, o := range h.owners {
		if o.isService() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	f.Fuzz(func(t *testing.T, id uint16, flags uint8, capitals uint64, size uint16, ttl uint32, option uint16, tcp bool) {
		name := []byte(names[int(id)%len(names)])
		for i, c := range name {
			if 'a' <= c && c <= 'z' && capitals>>(i%64)&1 == 1 {
				name[i] = c - 'a' + 'A'
			}
		}
		r := newQuestion(string(name), dns.TypeSRV)
		r.Id, r.RecursionDesired, r.CheckingDisabled, r.AuthenticatedData = id, flags&1 == 1, flags&2 == 2, flags&4 == 4
		if size > 0 {
			opt := edns(r, size, false).IsEdns0()
			opt.Hdr.Ttl = ttl
			if option > 0 {
				opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: option, Data: []byte{byte(id)}})
			}
		}
		bothWays(t, h, r, tcp)
	})
}
