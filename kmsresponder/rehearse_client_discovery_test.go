package kmsresponder

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// TestSuffixes: the suffixes are gone through in order, up to the first that
// has hosts.
func TestSuffixes(t *testing.T) {
	broken := errors.New("SERVFAIL")
	answers := map[string]any{
		"_vlmcs._tcp.empty.example.": []SRV(nil),
		"_vlmcs._tcp.never.example.": []SRV{{Target: ".", Port: 1688}},
		"_vlmcs._tcp.fails.example.": broken,
		"_vlmcs._tcp.there.example.": ErrNoData,
		"_vlmcs._tcp.a.example.":     []SRV{{Target: "kms1.a.example.", Port: 1689}},
		"_vlmcs._tcp.b.example.":     []SRV{{Target: "kms1.b.example", Port: 1688}},
	}
	for _, tc := range []struct {
		suffixes string
		verdict  kmswire.HRESULT
		err      error
		asked    string // the host that was
	}{
		{"", kmswire.NoSuffix, nil, ""},
		{"empty.example", kmswire.NoRecord, nil, ""},
		{"never.example", kmswire.NoRecord, nil, ""},
		{"empty.example unheard.example", kmswire.NoRecord, nil, ""},
		{"there.example", kmswire.NoData, nil, ""},
		{"there.example empty.example", kmswire.NoData, nil, ""},
		{"empty.example there.example", kmswire.NoRecord, nil, ""},
		{"there.example fails.example", kmswire.NoHost, broken, ""},
		{"there.example b.example", kmswire.NoHost, nil, "kms1.b.example"},
		{"fails.example", kmswire.NoHost, broken, ""},
		{"fails.example empty.example", kmswire.NoHost, broken, ""},
		{"empty.example fails.example .a.example. b.example", kmswire.NoHost, nil, "kms1.a.example:1689"},
		{"b.example a.example", kmswire.NoHost, nil, "kms1.b.example"},
	} {
		inSite(t, tc.suffixes, func(t *testing.T, s *site) {
			c := s.client(config.ClientVL)
			c.Suffixes = strings.Fields(tc.suffixes)
			c.Discover = func(_ context.Context, name string) ([]SRV, error) {
				if err, ok := answers[name].(error); ok {
					return nil, err
				}
				found, _ := answers[name].([]SRV)
				return found, nil
			}
			a := c.Activate(t.Context())
			if a.Verdict != tc.verdict || !errors.Is(a.Err, tc.err) || strings.Join(s.dialled, " ") != tc.asked {
				t.Errorf("%+v, asked %q", a, s.dialled)
			}
		})
	}
}

// TestChoice compares how often a host is chosen with what RFC 2782 gives it.
func TestChoice(t *testing.T) {
	record := func(priority, weight uint16) SRV { return SRV{Target: "x", Priority: priority, Weight: weight} }
	for _, tc := range []struct {
		name     string
		anyOrder bool
		hosts    []SRV
		want     []float64
	}{
		{"one", false, []SRV{record(5, 0)}, []float64{1}},
		{"lower priority number", false, []SRV{record(9, 100), record(1, 0), record(2, 50)}, []float64{0, 1, 0}},
		{"weights", false, []SRV{record(0, 10), record(0, 30), record(1, 100)}, []float64{.25, .75, 0}},
		{"no weights", false, []SRV{record(0, 0), record(0, 0), record(0, 0), record(0, 0)}, []float64{.25, .25, .25, .25}},
		{"weight 0 beside another", false, []SRV{record(0, 9), record(0, 0)}, []float64{.9, .1}},
		{"largest weights", false, []SRV{record(65535, 65535), record(65535, 65535)}, []float64{.5, .5}},
		{"as Vista", true, []SRV{record(9, 100), record(1, 0), record(2, 50), record(3, 7)}, []float64{.25, .25, .25, .25}},
	} {
		const draws = 40_000
		c := &RehearsalClient{AnyOrder: tc.anyOrder, Rand: rand.New(rand.NewPCG(1, 2))}
		chosen := make([]int, len(tc.hosts))
		for range draws {
			chosen[c.choose(tc.hosts)]++
		}
		for i, n := range chosen {
			if got := float64(n) / draws; math.Abs(got-tc.want[i]) > .01 {
				t.Errorf("%s: host %d chosen %.3f, want %.3f", tc.name, i, got, tc.want[i])
			}
		}
	}
	if i := new(RehearsalClient).choose([]SRV{record(0, 1)}); i != 0 {
		t.Errorf("chose %d of one", i)
	}
}

// TestAddresses: the addresses that came with a record are used, one after the
// other, each for its share of the time.
func TestAddresses(t *testing.T) {
	inSite(t, "three", func(t *testing.T, s *site) {
		s.host(t, "kms1", knows(t, 24))
		s.hosts["[2001:db8::1]:1688"] = s.hosts["kms1:1688"]
		s.silent["192.0.2.1:1688"], s.silent["192.0.2.2:1688"] = true, true
		c := s.client(config.ClientVL)
		c.Discover = func(context.Context, string) ([]SRV, error) {
			return []SRV{{Target: "kms1.example.org.", Port: 1688, Addresses: []netip.Addr{
				netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}}}, nil
		}
		a := c.Activate(t.Context())
		if !a.Activated() || a.Host != "kms1.example.org:1688" || len(a.Tries) != 1 || a.Took != 10*time.Second {
			t.Errorf("%+v", a)
		}
		if got := strings.Join(s.dialled, " "); got != "192.0.2.1 192.0.2.2 [2001:db8::1]" {
			t.Errorf("dialled %s", got)
		}
	})
}
