package kmsresponder

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// site is a network in memory, with hosts, a DNS server and virtual time. A
// client of it asks one thing at a time, so that no lock is needed.
type site struct {
	records map[string][]SRV // by name
	hosts   map[string]func(net.Conn)
	silent  map[string]bool
	dialled []string // addresses, in order
	asked   []string // names, in order
	wg      sync.WaitGroup
}

// inSite runs a test in a site of its own, in a bubble.
func inSite(t *testing.T, name string, test func(t *testing.T, s *site)) {
	rule(t, name, func(t *testing.T) {
		s := &site{records: make(map[string][]SRV), hosts: make(map[string]func(net.Conn)), silent: make(map[string]bool)}
		defer s.wg.Wait()
		test(t, s)
	})
}

// host has name answered by r.
func (s *site) host(t *testing.T, name string, r *Rehearsal) {
	s.serve(name, func(conn net.Conn) {
		converse(t.Context(), conn, time.Hour, time.Hour, &conversation{
			iface: r.iface(), port: "1688", group: 1, call: r.caller(conn.RemoteAddr()),
		})
	})
}

// serve has connections to name handled so, and refused if handle is nil. The
// record of the nth name has priority n.
func (s *site) serve(name string, handle func(net.Conn)) {
	s.hosts[name+":1688"] = handle
	const at = "_vlmcs._tcp.example.org."
	if !slices.ContainsFunc(s.records[at], func(r SRV) bool { return r.Target == name }) {
		s.records[at] = append(s.records[at], SRV{Target: name, Port: 1688, Priority: uint16(len(s.records[at]))})
	}
}

// gone has connections to name refused.
func (s *site) gone(name string) { s.hosts[name+":1688"] = nil }

// mute has connections to name come to nothing.
func (s *site) mute(name string) {
	s.serve(name, nil)
	s.silent[name+":1688"] = true
}

func (s *site) dial(ctx context.Context, _, address string) (net.Conn, error) {
	s.dialled = append(s.dialled, strings.TrimSuffix(address, ":1688"))
	handle := s.hosts[address]
	switch {
	case s.silent[address]:
		<-ctx.Done()
		return nil, ctx.Err()
	case handle == nil:
		return nil, syscall.ECONNREFUSED
	}
	client, server := net.Pipe()
	s.wg.Go(func() {
		defer server.Close()
		handle(server)
	})
	return client, nil
}

func (s *site) discover(_ context.Context, name string) ([]SRV, error) {
	s.asked = append(s.asked, name)
	return s.records[name], nil
}

// client returns a client of the site.
func (s *site) client(group config.Key) *RehearsalClient {
	return &RehearsalClient{Name: "pc", Group: group, Suffixes: []string{"example.org"}, Discover: s.discover, Dial: s.dial}
}

// knows is a host that n machines have asked already.
func knows(t *testing.T, n int) *Rehearsal {
	r := new(Rehearsal)
	others(t, r, n)
	return r
}

// others has n machines ask r.
func others(t *testing.T, r *Rehearsal, n int) {
	for i := range n {
		putTo(t, r, machine(i+1, config.ClientVL))
	}
}

// live runs c for d and returns its attempts.
func live(t *testing.T, c *RehearsalClient, d time.Duration) []Attempt {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var list []Attempt
	c.Run(ctx, func(a Attempt) { list = append(list, a) })
	return list
}

// TestLife has the timers of a client's life.
func TestLife(t *testing.T) {
	inSite(t, "renews every 7 days", func(t *testing.T, s *site) {
		r := knows(t, 24)
		s.host(t, "kms1", r)
		began := time.Now()
		c := s.client(config.ClientVL)
		for i, a := range live(t, c, 29*day) {
			if !a.Activated() || a.Count != 25 || a.Began.Sub(began) != time.Duration(i)*7*day || a.Next != 7*day {
				t.Errorf("attempt %d: %+v", i, a)
			}
			if want := a.Began.Add(180 * day); !a.LicensedUntil.Equal(want) {
				t.Errorf("attempt %d: licensed until %v, want %v", i, a.LicensedUntil, want)
			}
		}
		if len(s.dialled) != 5 {
			t.Errorf("%d attempts in 29 days", len(s.dialled))
		}
	})
	inSite(t, "tries again every 2 hours until the count is reached", func(t *testing.T, s *site) {
		r := knows(t, 23)
		s.host(t, "kms1", r)
		time.AfterFunc(23*time.Hour, func() { others(t, r, 24) })
		list := live(t, s.client(config.ClientVL), 25*time.Hour)
		if len(list) != 13 {
			t.Fatalf("%d attempts in 25 hours", len(list))
		}
		for i, a := range list {
			want, count := kmswire.NotEnoughCount, uint32(24)
			if i == 12 {
				want, count = kmswire.OK, 25
			}
			if a.Verdict != want || a.Count != count || a.Began.Sub(list[0].Began) != time.Duration(i)*2*time.Hour {
				t.Errorf("attempt %d: %+v", i, a)
			}
		}
	})
	inSite(t, "takes over the host's intervals", func(t *testing.T, s *site) {
		s.host(t, "kms1", &Rehearsal{ActivationInterval: 15 * time.Minute, RenewalInterval: day})
		c := s.client(config.ServerA)
		if a := c.Activate(t.Context()); a.Verdict != kmswire.NotEnoughCount || a.Next != 15*time.Minute {
			t.Errorf("%+v", a)
		}
		s.host(t, "kms1", func() *Rehearsal { r := knows(t, 9); r.RenewalInterval = day; return r }())
		if a := c.Activate(t.Context()); !a.Activated() || a.Next != day {
			t.Errorf("%+v", a)
		}
	})
	inSite(t, "valid for 180 days", func(t *testing.T, s *site) {
		r := knows(t, 24)
		s.host(t, "kms1", r)
		c := s.client(config.ClientVL)
		c.Activate(t.Context())
		began := time.Now()
		s.gone("kms1")
		list := live(t, c, 7*day-time.Second)
		if len(list) != 84 || list[0].Verdict != kmswire.NoHost || list[0].Next != 2*time.Hour {
			t.Errorf("%d attempts, first %+v", len(list), list[0])
		}
		if until := c.LicensedUntil(); !until.Equal(began.Add(180 * day)) {
			t.Errorf("licensed until %v", until)
		}
		for _, tc := range []struct {
			after  time.Duration
			status uint32
			left   uint32
		}{{0, 1, 180 * 24 * 60}, {179 * day, 1, 24 * 60}, {180*day - time.Second, 1, 0}, {180 * day, 5, 0}} {
			time.Sleep(time.Until(began.Add(max(tc.after, 7*day))))
			status, left := c.license(began.Add(tc.after))
			if status != tc.status || uint32(left/time.Minute) != tc.left {
				t.Errorf("after %v: status %d, %v", tc.after, status, left)
			}
		}
		others(t, r, 24)
		s.host(t, "kms1", r)
		if a := c.Activate(t.Context()); !a.Activated() || c.newRequest().LicenseStatus != 1 {
			t.Errorf("once the host is back: %+v", a)
		}
	})
	inSite(t, "30 days of grace before the first activation", func(t *testing.T, s *site) {
		s.host(t, "kms1", new(Rehearsal))
		c := s.client(config.ClientVL)
		c.Activate(t.Context())
		time.Sleep(29 * day)
		if q := c.newRequest(); q.LicenseStatus != 2 || q.Expiration != 24*60 {
			t.Errorf("status %d, %d minutes", q.LicenseStatus, q.Expiration)
		}
		time.Sleep(day)
		if q := c.newRequest(); q.LicenseStatus != 5 || q.Expiration != 0 {
			t.Errorf("status %d, %d minutes", q.LicenseStatus, q.Expiration)
		}
	})
	inSite(t, "stops while it asks", func(t *testing.T, s *site) {
		s.serve("kms1", func(conn net.Conn) { io.Copy(io.Discard, conn) })
		began := time.Now()
		if list := live(t, s.client(config.ClientVL), time.Second); len(list) != 0 || time.Since(began) != time.Second {
			t.Errorf("%d attempts, %v", len(list), time.Since(began))
		}
	})
}

// TestThresholds: 25 for clients, 5 for servers and for Office.
func TestThresholds(t *testing.T) {
	for _, tc := range []struct {
		app   kmswire.GUID
		group config.Key
		want  int
	}{
		{kmswire.GUID{}, config.Any, 25},
		{kmswire.Windows, config.ClientVL, 25},
		{kmswire.Windows, config.ServerA, 5},
		{kmswire.Windows, config.ServerC, 5},
		{kmswire.Office, config.ClientVL, 5},
		{kmswire.Office2010, config.Any, 5},
	} {
		inSite(t, fmt.Sprint(tc.app, tc.group), func(t *testing.T, s *site) {
			r := new(Rehearsal)
			s.host(t, "kms1", r)
			for n := 1; n <= 30; n++ {
				c := s.client(tc.group)
				c.Name, c.App = fmt.Sprint("pc", n), tc.app
				a := c.Activate(t.Context())
				if a.Activated() != (n >= tc.want) || a.Activated() != (a.Verdict == kmswire.OK) || int(a.Threshold) != tc.want {
					t.Errorf("machine %d: %+v", n, a)
				}
			}
		})
	}
}
