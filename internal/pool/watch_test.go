package pool

import (
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// unheard is an Observer that nobody listens to.
type unheard struct{}

func (unheard) Probed(string, probe.Result) {}

func (unheard) Changed(Transition) {}

func (unheard) Resolved(string, error) {}

func (unheard) Settled(_, _ Condition, _ time.Duration) {}

// TestChanged: whoever asked before the change hears of it, once the new answer is there to be read, and of nothing else.
func TestChanged(t *testing.T) {
	hosts := []config.Host{{Name: "a.example.org.", Port: 1688}, {Name: "b.example.org.", Port: 1688}}
	p := New(hosts, config.Default().Probe, Means{Observer: unheard{}, Jitter: func() float64 { return 0 }}, nil)
	happens := func(e Event) func() {
		return func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.apply(p.hosts[0], e, time.Now(), time.Now())
		}
	}
	node := Record{Endpoint: "node:1688", Name: "node.example.org.", Port: 1688}
	for _, step := range []struct {
		what    string
		happens func()
		heard   bool
		hosts   int
	}{
		{"a passes, which was offered before", happens(Pass), false, 2},
		{"a fails", happens(Fail), true, 2},
		{"a fails again, and stays suspect", happens(Fail), false, 2},
		{"a fails for good", happens(Fail), true, 1},
		{"this node joins", func() { p.Advertise(node) }, true, 2},
		{"this node joins again", func() { p.Advertise(node) }, false, 2},
		{"this node leaves", p.Withdraw, true, 1},
	} {
		one, two := p.Changed(), p.Changed()
		step.happens()
		if a, b := closed(one), closed(two); a != step.heard || b != step.heard {
			t.Errorf("%s: heard by one %v, by two %v, want %v", step.what, a, b, step.heard)
		}
		if n := len(p.Answer().Records); n != step.hosts {
			t.Errorf("%s: %d hosts offered, want %d", step.what, n, step.hosts)
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
