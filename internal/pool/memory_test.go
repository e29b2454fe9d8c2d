package pool

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// flapper is all that a Memory can have: of a drained, flapping, announced host.
func flapper(at time.Time) Memory {
	return Memory{
		Kind:      config.ProbeTCP,
		Announced: true,
		Health:    play(Health{}, "p"+strings.Repeat("fp", 9)+"ffffd", standard),
		Drainage:  &Drainage{By: "ann (uid 1000)", Why: "it \"flaps\"\n", At: at.Add(-time.Minute)},
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
		Since:     at.Add(-time.Hour),
		Began:     at.Add(-2 * time.Hour),
		Last: probe.Result{Outcome: probe.Garbled, Stage: probe.Bind, Err: errors.New("it answered \"HTTP/1.1\""),
			Address: netip.MustParseAddrPort("[2001:db8::7]:1688"), Start: at.Add(-time.Second), RTT: 1234567 * time.Nanosecond, Syntax: "NDR32"},
		Reason: errors.New("connection refused"),
		At:     at,
	}
}

func TestMemoryJSON(t *testing.T) {
	now := time.Now().Round(0)
	for name, m := range map[string]Memory{
		"everything":      flapper(now),
		"in another zone": flapper(now.In(time.FixedZone("", 3600))),
		"nothing":         {},
		"never asked":     {Kind: config.ProbeRPC, At: now, Since: now},
		"a claim":         {Health: play(Health{}, "cf", standard), Announced: true, At: now},
		"a drain alone":   {Drainage: &Drainage{By: "ann", At: now}},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			var got Memory
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			if !reflect.DeepEqual(inUTC(got), inUTC(m)) {
				t.Errorf("Got\n%+v, want\n%+v", got, m)
			}
			if name == "everything" && (got.Health.State() != Drained || !got.Health.flapping() || got.Health.missed == 0 ||
				got.Reason.Error() != "connection refused" || got.Last.Err.Error() != "it answered \"HTTP/1.1\"") {
				t.Errorf("Got %+v", got)
			}
		})
	}
}

// inUTC makes equal times the same.
func inUTC(m Memory) Memory {
	m.Since, m.Began, m.At, m.Last.Start = m.Since.UTC(), m.Began.UTC(), m.At.UTC(), m.Last.Start.UTC()
	if m.Drainage != nil {
		d := *m.Drainage
		d.At = d.At.UTC()
		m.Drainage = &d
	}
	return m
}

// TestMemoryHasNoMoreFields: who adds one to what is remembered thinks of the store, and of flapper.
func TestMemoryHasNoMoreFields(t *testing.T) {
	for _, v := range []any{flapper(time.Now()), flapper(time.Now()).Health, flapper(time.Now()).Last, *flapper(time.Now()).Drainage} {
		s := reflect.ValueOf(v)
		for i := range s.NumField() {
			name := s.Type().Name() + "." + s.Type().Field(i).Name
			if s.Field(i).IsZero() && name != "Health.passes" && name != "Memory.Live" {
				t.Errorf("%s is not in the round trip", name)
			}
		}
	}
}

// TestLiveIsNotStored: it means nothing to another process.
func TestLiveIsNotStored(t *testing.T) {
	m := flapper(time.Now())
	without, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	m.Live = Live{Here: true, Probing: config.Default().Probe, Predecessor: true, Suspected: m.At, Due: m.At}
	with, err := json.Marshal(m)
	if err != nil || string(with) != string(without) {
		t.Errorf("%v: stored as %s, want %s", err, with, without)
	}
}

func TestDamagedMemoryJSON(t *testing.T) {
	good, err := json.Marshal(flapper(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string][2]string{ // what, by what, in the good one
		"another kind":              {`"tcp"`, `"icmp"`},
		"another state":             {`"believed":"down"`, `"believed":"asleep"`},
		"believed to be drained":    {`"believed":"down"`, `"believed":"drained"`},
		"a count below nothing":     {`"passes":0`, `"passes":-1`},
		"a count beyond its bound":  {`"recent":10`, `"recent":11`},
		"a count that is no number": {`"passes":0`, `"passes":"0"`},
		"another outcome":           {`"garbled"`, `"fine"`},
		"another stage":             {`"bind"`, `"exec"`},
		"no address":                {`"192.0.2.7"`, `"192.0.2.700"`},
		"an empty address":          {`"192.0.2.7"`, `""`},
		"too many addresses":        {`"192.0.2.7"`, strings.Repeat(`"192.0.2.7",`, 8) + `"192.0.2.7"`},
		"a field nobody knows":      {`"kind"`, `"secret":1,"kind"`},
		"a time that is none":       {`"at":"`, `"at":"x`},
	}
	for name, d := range damage {
		bad := strings.Replace(string(good), d[0], d[1], 1)
		if bad == string(good) {
			t.Errorf("%s: %s is not in %s", name, d[0], good)
		}
		refuses(t, name, bad)
	}
	for _, bad := range []string{"", "{}", "null", "[]", "7", `"x"`, "\x00\x00", string(good) + "}"} {
		refuses(t, bad, bad)
	}
	for n := range len(good) {
		refuses(t, "cut", string(good[:n]))
	}
}

func refuses(t *testing.T, name, bad string) {
	t.Helper()
	before := flapper(time.Unix(1, 0))
	m := before
	if err := json.Unmarshal([]byte(bad), &m); err == nil {
		t.Errorf("%s: %s is taken for %+v", name, bad, m)
	}
	if !reflect.DeepEqual(m, before) {
		t.Errorf("%s: half of it was taken", name)
	}
}

func TestMerge(t *testing.T) {
	now := time.Now()
	up, down := play(Health{}, "p", standard), play(Health{}, "pfff", standard)
	old := Memory{Kind: config.ProbeRPC, Health: up, At: now.Add(-time.Minute)}
	young := Memory{Kind: config.ProbeRPC, Health: down, At: now}
	other := Memory{Kind: config.ProbeTCP, Health: up, At: now}
	drained := Memory{Kind: config.ProbeTCP, Health: play(up, "d", standard), Drainage: &Drainage{By: "ann"}, At: now}
	asked := config.Probe{Kind: config.ProbeRPC, Timeout: time.Second}
	live := func(m Memory, l Live) Memory { m.Live = l; return m }
	alike, otherwise := Live{Here: true, Probing: asked}, Live{Here: true, Probing: config.Probe{Kind: config.ProbeRPC, Timeout: 2 * time.Second}}
	before, beforeAlike := otherwise, alike
	before.Predecessor, beforeAlike.Predecessor = true, true
	for name, tt := range map[string]struct {
		a, b    Memory
		want    State
		drained bool
	}{
		"first-hand knowledge":           {live(old, otherwise), young, Up, false},
		"the very same probes":           {live(old, alike), live(young, otherwise), Up, false},
		"of two such, the newer":         {live(old, alike), live(young, alike), Down, false},
		"of two such, the predecessor's": {live(old, beforeAlike), live(young, alike), Up, false},
		"the predecessor's":              {live(old, before), live(young, otherwise), Up, false},
		"rather the same probes":         {live(old, alike), live(young, before), Up, false},
		"the newer":                      {old, young, Down, false},
		"the one that probes alike":      {young, other, Down, false},
		"a drain anywhere":               {young, drained, Down, true},
		"a drain in the better, too":     {drained, drained, Up, true},
		"a drain and nothing else of it": {young, Memory{Drainage: &Drainage{By: "ann"}}, Down, true},
	} {
		for _, m := range []Memory{tt.a.Merge(tt.b, asked), tt.b.Merge(tt.a, asked)} {
			if m.Health.believed != tt.want || m.Drained() != tt.drained || (m.Drainage != nil) != tt.drained {
				t.Errorf("%s: got %+v", name, m)
			}
		}
	}
}

// TestADrainAlone is all that a store need keep of a drained host.
func TestADrainAlone(t *testing.T) {
	d := &Drainage{By: "ann", Why: "patch day", At: time.Now().Add(-24 * time.Hour)}
	m := map[string]Memory{"192.0.2.1:1688": {Drainage: d}, "kms7.example.org:1688": {Drainage: d}}
	p := New(hosts(2), config.Default().Probe, newWorld().means(), m)
	p.Enlist(announced(7), nil, false)
	if got := inWords(p); got != "192.0.2.1 drained, 192.0.2.2 unchecked, kms7.example.org drained" {
		t.Errorf("Got %s", got)
	}
	for _, i := range []int{0, 2} {
		if h := p.Hosts()[i]; h.Drainage == nil || *h.Drainage != *d || !h.Since.Equal(d.At) {
			t.Errorf("%s: %+v, since %s", h.Endpoint(), h.Drainage, h.Since)
		}
	}
}
