package kmsresponder

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// TestFailover: a host that cannot be used is dropped and another one asked,
// whatever is wrong with it.
func TestFailover(t *testing.T) {
	said := func(octets string) func(net.Conn) {
		return func(conn net.Conn) {
			conn.Read(make([]byte, 1024))
			io.WriteString(conn, octets)
		}
	}
	hosts := []struct {
		name   string
		handle func(t *testing.T, s *site)
		hr     kmswire.HRESULT
		err    string
		took   time.Duration
	}{
		{"off", func(t *testing.T, s *site) { s.serve("kms1", nil) }, 0, "refused", 0},
		{"silent", func(t *testing.T, s *site) { s.mute("kms1") }, 0, "deadline", 15 * time.Second},
		{"hung", func(t *testing.T, s *site) { s.serve("kms1", func(c net.Conn) { io.Copy(io.Discard, c) }) }, 0, "timeout", 15 * time.Second},
		{"hangs up", func(t *testing.T, s *site) { s.serve("kms1", func(net.Conn) {}) }, 0, "closed", 0},
		{"hangs up after the bind", func(t *testing.T, s *site) { s.serve("kms1", said("")) }, 0, "EOF", 0},
		{"garbage", func(t *testing.T, s *site) { s.serve("kms1", said("HTTP/1.1 400 Bad Request\r\n\r\n")) }, 0, "RPC version", 0},
		{"bind_nak", func(t *testing.T, s *site) {
			s.serve("kms1", said("\x05\x00\x0d\x03\x10\x00\x00\x00\x15\x00\x00\x00\x02\x00\x00\x00\x02\x00\x01\x05\x00"))
		}, 0, "bind refused", 0},
		{"fault", func(t *testing.T, s *site) {
			s.serve("kms1", said("\x05\x00\x03\x23\x10\x00\x00\x00\x20\x00\x00\x00\x02\x00\x00\x00"+
				"\x00\x00\x00\x00\x00\x00\x00\x00\x14\x00\x01\x1c\x00\x00\x00\x00"))
		}, 0, "nca_server_too_busy", 0},
		{"another call's answer", func(t *testing.T, s *site) {
			s.serve("kms1", said("\x05\x00\x0c\x03\x10\x00\x00\x00\x10\x00\x00\x00\x09\x00\x00\x00"))
		}, 0, "for call 9", 0},
		{"no key for the product", func(t *testing.T, s *site) { s.host(t, "kms1", &Rehearsal{Key: config.ClientVL}) }, kmswire.HostUnusable, "", 0},
		{"another site's", func(t *testing.T, s *site) { s.host(t, "kms1", &Rehearsal{Secret: []byte("x")}) }, kmswire.InvalidData, "", 0},
	}
	for _, tc := range hosts {
		inSite(t, tc.name, func(t *testing.T, s *site) {
			tc.handle(t, s)
			s.host(t, "kms2", knows(t, 24))
			a := s.client(config.ServerA).Activate(t.Context())
			if !a.Activated() || a.Host != "kms2:1688" || len(a.Tries) != 2 {
				t.Fatalf("%+v", a)
			}
			failed := a.Tries[0]
			if failed.Host != "kms1:1688" || failed.HRESULT != tc.hr || failed.Took != tc.took || a.Took != tc.took {
				t.Errorf("%+v", failed)
			}
			if (failed.Err == nil) != (tc.err == "") || failed.Err != nil && !strings.Contains(failed.Err.Error(), tc.err) {
				t.Errorf("error %v, want %q", failed.Err, tc.err)
			}
		})
	}
	inSite(t, "clock", func(t *testing.T, s *site) {
		s.host(t, "kms1", new(Rehearsal))
		s.host(t, "kms2", new(Rehearsal))
		c := s.client(config.ServerA)
		c.ClockError = -5 * time.Hour
		a := c.Activate(t.Context())
		if a.Verdict != kmswire.NoHost || len(a.Tries) != 2 || a.Tries[0].HRESULT != kmswire.ClockSkew || a.Tries[1].HRESULT != kmswire.ClockSkew {
			t.Errorf("%+v", a)
		}
		c.ClockError = 4 * time.Hour
		if a := c.Activate(t.Context()); a.Verdict != kmswire.NotEnoughCount {
			t.Errorf("four hours: %+v", a)
		}
	})
}

// TestEcho: an answer to another request, well sealed, is not believed.
func TestEcho(t *testing.T) {
	for name, answer := range map[string]func(kmswire.RequestV4) (kmswire.Version, kmswire.ResponseV4){
		"another client": func(q kmswire.RequestV4) (kmswire.Version, kmswire.ResponseV4) {
			return kmswire.V4, kmswire.ResponseV4{CMID: kmswire.GUID{9}, ClientTime: q.ClientTime, Count: 50}
		},
		"another time": func(q kmswire.RequestV4) (kmswire.Version, kmswire.ResponseV4) {
			return kmswire.V4, kmswire.ResponseV4{CMID: q.CMID, ClientTime: q.ClientTime + 1, Count: 50}
		},
		"another version": func(q kmswire.RequestV4) (kmswire.Version, kmswire.ResponseV4) {
			return kmswire.V6, kmswire.ResponseV4{CMID: q.CMID, ClientTime: q.ClientTime, Count: 50}
		},
	} {
		inSite(t, name, func(t *testing.T, s *site) {
			s.serve("kms1", func(conn net.Conn) {
				c := conversation{iface: new(Rehearsal).iface()}
				c.call = func(_ context.Context, _ dcerpc.Syntax, message []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
					q, _, err := newSealer(nil).openRequest(message)
					if err != nil {
						t.Error(err)
					}
					return newSealer(nil).response(answer(q)), kmswire.OK, 0
				}
				converse(t.Context(), conn, time.Hour, time.Hour, &c)
			})
			a := s.client(config.ServerA).Activate(t.Context())
			if a.Verdict != kmswire.NoHost || !errors.Is(a.Tries[0].Err, errEcho) || a.Host != "" {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestCache: the host that activated the client is asked first the next time,
// and DNS only when that host fails.
func TestCache(t *testing.T) {
	inSite(t, "a host that works", func(t *testing.T, s *site) {
		s.serve("kms1", nil)
		s.host(t, "kms2", knows(t, 24))
		c := s.client(config.ClientVL)
		for i := range 3 {
			if a := c.Activate(t.Context()); !a.Activated() || a.Cached != (i > 0) {
				t.Errorf("%+v", a)
			}
		}
		if got := strings.Join(s.dialled, " "); got != "kms1 kms2 kms2 kms2" || len(s.asked) != 1 {
			t.Errorf("asked %s, %d look-ups", got, len(s.asked))
		}
		// kms2 dies: kms1, which is back, takes over, and keeps the client.
		s.gone("kms2")
		s.host(t, "kms1", knows(t, 24))
		for i := range 2 {
			if a := c.Activate(t.Context()); !a.Activated() || a.Host != "kms1:1688" || a.Cached != (i > 0) {
				t.Errorf("%+v", a)
			}
		}
		if got := strings.Join(s.dialled, " "); got != "kms1 kms2 kms2 kms2 kms2 kms1 kms1" || len(s.asked) != 2 {
			t.Errorf("asked %s, %d look-ups", got, len(s.asked))
		}
	})
	inSite(t, "a host that did not activate", func(t *testing.T, s *site) {
		s.host(t, "kms1", new(Rehearsal))
		c := s.client(config.ClientVL)
		c.Activate(t.Context())
		if a := c.Activate(t.Context()); a.Cached || len(s.asked) != 2 {
			t.Errorf("%+v, %d look-ups", a, len(s.asked))
		}
	})
	inSite(t, "no cache", func(t *testing.T, s *site) {
		s.host(t, "kms1", knows(t, 24))
		c := s.client(config.ClientVL)
		c.NoCache = true
		for range 3 {
			if a := c.Activate(t.Context()); !a.Activated() || a.Cached {
				t.Errorf("%+v", a)
			}
		}
		if len(s.asked) != 3 {
			t.Errorf("%d look-ups", len(s.asked))
		}
	})
	inSite(t, "the only host, dead", func(t *testing.T, s *site) {
		s.host(t, "kms1", knows(t, 24))
		c := s.client(config.ClientVL)
		c.Activate(t.Context())
		s.gone("kms1")
		if a := c.Activate(t.Context()); a.Verdict != kmswire.NoHost || len(a.Tries) != 1 {
			t.Errorf("%+v", a)
		}
		s.records = nil
		if a := c.Activate(t.Context()); a.Verdict != kmswire.NoRecord || len(a.Tries) != 0 {
			t.Errorf("%+v", a)
		}
	})
}
