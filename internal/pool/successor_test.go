package pool

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

func TestADrainedClaim(t *testing.T) {
	const endpoint = "kms7.example.org:1688"
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(1), nil)
		p.Enlist(announced(7), nil, false)
		if err := p.Drain(endpoint, Drainage{By: "ann", Why: "patch day"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		expect(t, p, "192.0.2.1/0 calm")
		if d := p.Hosts()[1].Drainage; d == nil || d.By != "ann" || d.Why != "patch day" || !d.At.Equal(w.start) {
			t.Errorf("Got %+v", d)
		}
		// It goes and comes back: it starts anew, but a person's decision holds.
		p.Dismiss(endpoint)
		p.Enlist(announced(7), nil, true)
		expectStates(t, p, "192.0.2.1 up, kms7.example.org drained")
		if d := p.Hosts()[1].Drainage; d == nil || d.By != "ann" {
			t.Errorf("Got %+v", d)
		}
		p.Dismiss(endpoint)
		if err := p.Undrain(endpoint); err != nil { // while it is away
			t.Error(err)
		}
		if err := p.Undrain(endpoint); err == nil {
			t.Error("A drain is lifted twice")
		}
		p.Enlist(announced(7), nil, false)
		expectStates(t, p, "192.0.2.1 up, kms7.example.org claimed")
		if err := p.Drain(endpoint, Drainage{}); err != nil {
			t.Error(err)
		}
		if err := p.Undrain(endpoint); err != nil {
			t.Error(err)
		}
		if h := p.Hosts()[1]; h.State != Claimed || h.Drainage != nil {
			t.Errorf("Put back: %s, %+v", h.State, h.Drainage)
		}
	})
}

// TestASuccessorKnowsAnnouncedHosts: whom a reload's new pool gets announced again goes on where it was.
func TestASuccessorKnowsAnnouncedHosts(t *testing.T) {
	const endpoint = "kms7.example.org:1688"
	for name, tt := range map[string]struct {
		prepare  func(w *world, p *Pool)
		between  time.Duration // from one pool to the other
		kind     config.ProbeKind
		proved   bool
		corefile bool // in the successor
		want     State
	}{
		"up stays up":                          {want: Up},
		"a claim stays one":                    {prepare: func(w *world, p *Pool) { p.Dismiss(endpoint); p.Enlist(announced(7), nil, false) }, want: Claimed},
		"and is not let off":                   {prepare: func(w *world, p *Pool) { p.Dismiss(endpoint); p.Enlist(announced(7), nil, false) }, proved: true, want: Claimed},
		"suspect stays suspect":                {prepare: func(w *world, p *Pool) { w.kill(refused, 7); p.Failed(endpoint); time.Sleep(time.Second) }, want: Suspect},
		"down stays down":                      {prepare: func(w *world, p *Pool) { w.kill(refused, 7); time.Sleep(time.Minute) }, want: Down},
		"drained stays drained":                {prepare: func(w *world, p *Pool) { p.Drain(endpoint, Drainage{By: "ann"}) }, between: time.Hour, want: Drained},
		"what is old is forgotten":             {between: time.Hour, want: Claimed},
		"but who was proved is offered":        {between: time.Hour, proved: true, want: Unchecked},
		"another kind of probe proves nothing": {kind: config.ProbeTCP, want: Claimed},
		"the Corefile asks for no proof": {prepare: func(w *world, p *Pool) { p.Dismiss(endpoint); p.Enlist(announced(7), nil, false) },
			corefile: true, want: Unchecked},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				old := run(t, w, hosts(1), nil)
				old.Enlist(announced(7), nil, false)
				time.Sleep(5 * time.Second)
				if tt.prepare != nil {
					tt.prepare(w, old)
				}
				m := old.Remember()
				time.Sleep(tt.between)
				settings := config.Default().Probe
				settings.Kind = tt.kind
				in := hosts(1)
				if tt.corefile {
					in = append(in, announced(7))
				}
				between := New(in, settings, w.means(), m) // which never hears of the host, as if two reloads come at once
				p := New(in, settings, w.means(), between.Remember())
				p.Enlist(announced(7), nil, tt.proved)
				if got := p.Hosts()[1]; got.State != tt.want {
					t.Errorf("Got %s, want %s", got.State, tt.want)
				}
				// What is remembered holds once: from now on the pool itself knows.
				if !tt.corefile && tt.want != Drained {
					p.Dismiss(endpoint)
					p.Enlist(announced(7), nil, false)
					if got := p.Hosts()[1]; got.State != Claimed {
						t.Errorf("Announced again: %s", got.State)
					}
				}
			})
		})
	}
}

// TestAMemoryOfTheCorefileProvesLittle: a host that was down, suspect or unchecked in the Corefile has not proved anything.
func TestAMemoryOfTheCorefileProvesLittle(t *testing.T) {
	for script, want := range map[string]State{"": Claimed, "p": Up, "pf": Claimed, "pfff": Claimed, "d": Drained, "pd": Drained} {
		m := map[string]Memory{"kms7.example.org:1688": {Health: play(Health{}, script, standard), At: time.Now()}}
		p := New(nil, config.Default().Probe, newWorld().means(), m)
		p.Enlist(announced(7), nil, false)
		if got := p.Hosts()[0].State; got != want {
			t.Errorf("After %q in the Corefile: %s, want %s", script, got, want)
		}
	}
}

// TestWhatIsRememberedIsBounded: however many hosts come, are drained and go.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	m := map[string]Memory{}
	for i := range 10 * maxRemembered {
		m[fmt.Sprintf("old%d.example.org:1688", i)] = Memory{At: time.Now()}
	}
	p := New(nil, config.Default().Probe, newWorld().means(), m)
	for i := range 2 * maxRemembered {
		h := config.Host{Name: fmt.Sprintf("kms%d.example.org.", i), Port: 1688}
		p.Enlist(h, nil, false)
		if err := p.Drain(h.Endpoint(), Drainage{}); err != nil {
			t.Fatal(err)
		}
		p.Dismiss(h.Endpoint())
	}
	kept := p.Remember()
	if len(kept) != maxRemembered {
		t.Errorf("%d hosts are remembered, want %d", len(kept), maxRemembered)
	}
	for endpoint, m := range kept {
		if !m.Drained() {
			t.Fatalf("%s is remembered, which nobody drained, though drains found no place", endpoint)
		}
	}
}
