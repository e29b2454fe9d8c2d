package ledger

import (
	"net/netip"
	"time"
)

// entry is one client in the table. Times are in nanoseconds of Unix time: a hundred thousand of these stay in memory.
type entry struct {
	client              Client
	from                netip.Addr
	first, last, served int64
	host                string
	version, result     string
	machine             string
	calls               uint64
	visits              []visit
	home                *tally // nil until a host took a request

	change int  // its place in Ledger.changed, counted from 1; 0 if a store was given it as it is
	stored bool // a store has a row of it, though perhaps not as it is now

	older, newer *entry
}

type visit struct {
	tally *tally
	at    int64
}

// take enters what c says of the client itself.
func (e *entry) take(c Call) {
	e.last = max(e.last, c.At.UnixNano())
	e.from, e.version, e.result = c.From, c.Version, c.Result
	e.calls++
	if c.Host != "" {
		e.host = c.Host
	}
	if c.Machine != "" && c.Machine != e.machine {
		e.machine = c.Machine
	}
}

// dropVisit forgets the visit that is longest ago.
func (e *entry) dropVisit(l *Ledger) {
	oldest := 0
	for i, v := range e.visits {
		if v.at < e.visits[oldest].at {
			oldest = i
		}
	}
	if v := e.visits[oldest]; l.current(v.at) {
		v.tally.clients.Add(-1)
	}
	last := len(e.visits) - 1
	e.visits[oldest] = e.visits[last]
	e.visits = e.visits[:last]
}

// export is e as others may keep it.
func (e *entry) export() Entry {
	out := Entry{
		Client: e.client, From: e.from, First: time.Unix(0, e.first), Last: time.Unix(0, e.last), Host: e.host,
		Version: e.version, Result: e.result, Machine: e.machine, Calls: e.calls, Visits: make([]Visit, len(e.visits)),
	}
	if e.home != nil {
		out.Home, out.Served = e.home.host, time.Unix(0, e.served)
	}
	for i, v := range e.visits {
		out.Visits[i] = Visit{v.tally.host, time.Unix(0, v.at)}
	}
	return out
}

// list is clients in the order of their last calls.
type list struct {
	first, last *entry
	length      int
}

func (l *list) oldest() *entry { return l.first }

func (l *list) push(e *entry) {
	e.older, e.newer = l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.newer = e
	}
	l.last = e
	l.length++
}

func (l *list) drop(e *entry) {
	l.length--
	if e.older == nil {
		l.first = e.newer
	} else {
		e.older.newer = e.newer
	}
	if e.newer == nil {
		l.last = e.older
	} else {
		e.newer.older = e.older
	}
	e.older, e.newer = nil, nil
}

func (l *list) touch(e *entry) {
	if l.last != e {
		l.drop(e)
		l.push(e)
	}
}
