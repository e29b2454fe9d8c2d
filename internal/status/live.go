package status

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/registry"
)

// Face is one kms block that serves, with what only the faces know of it.
type Face struct {
	config.Block
	Pool      engine.Pool
	Registry  *registry.Registry // nil if nobody may announce
	Responder *ResponderFace     // nil if there is none

	Target func(r pool.Record, zone string) string // the host name that clients are told
	Result func(*pool.Snapshot) string             // a word of the metric answers_total
	TTL    func(pool.Condition) int                // in seconds
	Falls  func(zone string) bool                  // what has no answer here falls through to the next plugin; nil: nothing does
}

// ResponderFace is what only the RPC face knows of a responder.
type ResponderFace struct {
	Connections func() int
	Calls       func() map[string]uint64
	Refused     func() map[string]uint64
	Itself      func(endpoint string) bool                            // the host is the responder, which therefore asks it nothing
	Preferences func(c ledger.Client, v kmswire.Version) []Preference // without Pool
}

// Live is the Source of a running server.
type Live struct {
	HostHistory   *history.Hosts
	ClientHistory *history.Clients
	Server        Server
	Faces         func() []Face
	Book          func() *engine.Book // nil if there is no responder
	Unloaded      func() time.Time    // when the last reload failed; zero if it did not, or there was none
	Broken        func() error        // why the store does not take changes; nil if it does, or there is none
}

// moment is what one report is made from: all of it looks at the same.
type moment struct {
	*Live
	now   time.Time
	faces []Face
	book  *engine.Book                 // nil if there is no responder
	pools map[*pool.Pool][]pool.Status // by the pool itself: a reload that moves hosts between blocks may leave two of one name
}

func (l *Live) moment() *moment {
	return &moment{Live: l, now: time.Now(), faces: l.Faces(), book: l.Book(), pools: make(map[*pool.Pool][]pool.Status)}
}

// hosts is what is known of the hosts of a pool, once for the whole report.
func (m *moment) hosts(p engine.Pool) []pool.Status {
	if m.pools[p.Pool] == nil {
		m.pools[p.Pool] = p.Hosts()
	}
	return m.pools[p.Pool]
}

var _ Source = (*Live)(nil)

// Report implements Source.
func (l *Live) Report() Report {
	m := l.moment()
	r := Report{Version: Version, At: m.now, Server: l.Server, Findings: []Finding{}, Zones: []Zone{}, Pools: []Pool{}, Events: []Event{}}
	for _, f := range m.faces {
		for _, zone := range f.Zones {
			r.Zones = append(r.Zones, m.zone(f, zone))
		}
	}
	for i, f := range m.faces {
		if !slices.ContainsFunc(m.faces[:i], func(earlier Face) bool { return earlier.Pool == f.Pool }) {
			r.Pools = append(r.Pools, m.pool(f.Pool))
		}
	}
	for _, e := range l.HostHistory.Events() {
		r.Events = append(r.Events, event(e))
	}
	r.Clients, r.Updates = m.summary(), m.updates()
	r.Findings = m.findings(&r)
	r.Updates.Attempts = r.Updates.Attempts[:min(len(r.Updates.Attempts), maxAttempts)]
	r.Status, r.Summary = judge(&r)
	return r
}

// event is e as it is shown.
func event(e history.Event) Event {
	out := Event{At: e.At, Pool: e.Pool, Endpoint: e.Host, From: e.From.String(), To: e.To.String(), After: e.After.Seconds()}
	if e.Reason != nil {
		out.Reason = line(e.Reason.Error())
	}
	return out
}

// pool is p as it is shown.
func (m *moment) pool(p engine.Pool) Pool {
	s := p.Snapshot()
	out := Pool{Name: p.Name, Condition: s.Condition.String(), Why: conditionWhy(s), Checked: s.Checked, Age: p.Age().Seconds(),
		Interval: p.Probing().Interval.Seconds(), Hosts: []Host{}}
	for _, h := range m.hosts(p) {
		out.Hosts = append(out.Hosts, m.host(p, h))
	}
	for _, f := range m.faces {
		if f.Pool != p || f.Responder == nil {
			continue
		}
		one := m.responder(f)
		if earlier := out.Responder; earlier != nil { // their calls are counted together, as those of the pool
			one.Address = earlier.Address + ", " + one.Address
			one.Connections += earlier.Connections
		}
		out.Responder = one
	}
	return out
}

func conditionWhy(s *pool.Snapshot) string {
	switch {
	case s.Condition == pool.SelfSuspected:
		return "every host failed within one interval: this server suspects its own network, and keeps the last good answer for up to five minutes"
	case s.Condition == pool.AllDown && s.Standing == 0:
		return "there is no host that may be offered: each is drained or has not proved itself, or none is known"
	case s.Condition == pool.AllDown:
		return "every host that is not drained failed its checks"
	case s.Condition == pool.Unsettled:
		return "a host is offered that may not answer"
	}
	return "every host that is offered passed its last check, or was not asked yet"
}

func (m *moment) responder(f Face) *Responder {
	out := &Responder{Address: f.Block.Responder.Address, Policy: f.Block.Responder.Policy.String(), Connections: f.Responder.Connections(),
		Calls: f.Responder.Calls(), Refused: f.Responder.Refused()}
	for _, h := range m.hosts(f.Pool) {
		if at := m.HostHistory.Past(f.Pool.Name, h.Endpoint(), m.now).LastServed; at.After(out.LastCall) {
			out.LastCall = at
		}
	}
	return out
}

// summary is the ledger in a few numbers.
func (m *moment) summary() Summary {
	out := Summary{Weeks: make([]int, Weeks)}
	if m.book == nil {
		return out
	}
	s := m.book.Summary(m.now)
	return Summary{Known: s.Clients, Unserved: s.Unserved, Silent90: s.Silent90, Silent150: s.Silent150, Rejected: m.book.Rejected(m.now, 30*day), Kept: m.book.Kept(),
		Weeks: m.book.Weeks(m.now, Weeks)}
}

// updates is what came of hosts that announced themselves, the same registry of several blocks once: all that is remembered.
func (m *moment) updates() Updates {
	out := Updates{Attempts: []Attempt{}}
	seen := make(map[*registry.Registry]bool)
	for _, f := range m.faces {
		out.Enabled = out.Enabled || f.Update != nil
		if f.Registry == nil || seen[f.Registry] {
			continue
		}
		seen[f.Registry] = true
		for _, a := range f.Registry.Attempts() {
			if a.Accepted {
				out.Accepted++
			} else {
				out.Refused++
			}
			out.Attempts = append(out.Attempts, Attempt{At: a.At, From: a.From.String(), Key: line(a.Key), Zone: plainName(line(a.Zone)),
				What: line(a.What), Accepted: a.Accepted, Reason: line(a.Reason)})
		}
	}
	slices.SortStableFunc(out.Attempts, func(a, b Attempt) int { return b.At.Compare(a.At) })
	return out
}

// maxAttempts is how many UPDATEs a report has.
const maxAttempts = 100

// plainName is a domain name without the closing dot; the root keeps it.
func plainName(name string) string { return cmp.Or(strings.TrimSuffix(name, "."), ".") }
