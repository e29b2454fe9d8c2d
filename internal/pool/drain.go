package pool

import (
	"fmt"
	"time"
)

// Drainage is who took a host out, why and when.
type Drainage struct {
	By  string    `json:"by,omitempty"`
	Why string    `json:"why,omitempty"`
	At  time.Time `json:"at"`
}

// Drain takes the host called endpoint out of every answer until it is put back, whatever its health; when Drain returns,
// no later snapshot has it. A d without a time is of now. Draining a drained host replaces what was said of it.
//
// An error says that the host is not here. It is drained all the same if it announces itself later: a person meant the host.
func (p *Pool) Drain(endpoint string, d Drainage) error {
	if d.At.IsZero() {
		d.At = p.means.Now()
	}
	return p.tell(endpoint, Drain, &d)
}

// Undrain puts a drained host back. It was probed all the while, and counts for what it is. The drain of an announced host
// that is not here at the moment is forgotten; if there is none, that is an error.
func (p *Pool) Undrain(endpoint string) error { return p.tell(endpoint, Undrain, nil) }

// Drained is the drains that are in force here, by endpoint, also those of hosts that may be announced.
func (p *Pool) Drained() map[string]Drainage {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]Drainage)
	note := func(endpoint string, m Memory) {
		if d, ok := m.Drain(); ok {
			all[endpoint] = d
		}
	}
	for endpoint, m := range p.remembered {
		note(endpoint, m)
	}
	for _, h := range p.hosts {
		note(h.Endpoint(), Memory{Health: h.health, Drainage: h.drainage, Since: h.since})
	}
	return all
}

func (p *Pool) tell(endpoint string, e Event, d *Drainage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.find(endpoint)
	if h == nil {
		m, ok := p.remembered[endpoint]
		switch {
		case e == Undrain && ok && m.Drained():
			if m = m.Undrained(); m.Health.believed == Claimed {
				m.Since = time.Time{} // that of the drain
				p.remembered[endpoint] = m
			} else {
				delete(p.remembered, endpoint)
			}
			return nil
		case e == Drain:
			if !ok {
				p.makePlace(true)
			}
			if m.Health.believed != Claimed {
				m = Memory{} // but who left has everything to prove, drained or not
			}
			m.Health.drained, m.Drainage, m.Since = true, d, d.At
			p.remembered[endpoint] = m
		}
		return fmt.Errorf("no host %q in this pool", endpoint)
	}
	now := p.means.Now()
	h.drainage = d
	p.apply(h, e, now, now)
	return nil
}
