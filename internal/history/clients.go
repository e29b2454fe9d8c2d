package history

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/ledger"
)

// Bounds of Clients' questions and calls. Both together take some ten megabytes when they are full.
const (
	maxAsking  = 4096 // addresses whose questions are kept, an equal share of them in each of the parts
	parts      = 16
	maxCalling = 8192 // clients whose calls are kept
	maxAsks    = 16   // hosts asked in one call that are kept
)

// Question is one DNS question for the KMS service and what it was answered.
type Question struct {
	At     time.Time
	From   netip.Addr
	Name   string // as the client spelled it
	Type   uint16 // of RFC 1035
	Result string // a word of the metric answers_total, or "fallthrough": the next plugin answered
	Answer *Answer
	First  uint16 // the record of Answer that stood first
}

// Answer is the records that many questions were answered with, in words and in the order of priorities. It is never changed,
// and shared.
type Answer struct {
	Records []string
	More    int // records that are left out
}

// Call is one activation call. Its strings are what a client sent: escape Machine before showing it.
type Call struct {
	At      time.Time
	Pool    string
	Client  ledger.Client
	From    netip.Addr
	Machine string
	Version string
	Result  string
	Host    string
	HRESULT uint32
	Took    time.Duration

	// What only version 4 shows: the count that the client needs and the one that it was answered, and the status of its
	// licence as it says. All are 0 otherwise.
	Required, Count, LicenseStatus uint32

	Asked []Asked // in the order in which they were asked; at most maxAsks
}

// Asked is one host that was asked in a call.
type Asked struct {
	Host    string
	Outcome string
	Err     string // why there was no answer, or the error that it answered
	Took    time.Duration
}

// Clients is what clients lately asked and called. Its zero value is empty and ready; any number of goroutines may use it.
type Clients struct {
	asking    [parts]asking
	callingMu sync.Mutex
	calling   recent[ledger.Client, Call]
	turnedMu  sync.Mutex
	turned    recent[netip.Addr, Turned]
	turnings  map[turnedBy]*turnings
}

// asking is the questions of some of the addresses. Questions are many, and answering one is seldom to wait for another.
type asking struct {
	mu sync.Mutex
	recent[netip.Addr, Question]
	_ [64]byte // one processor's part is in no cache line of another's
}

// part is where questions of an address are. Up to eight addresses in a row are each in another one (Fibonacci hashing).
func (c *Clients) part(from netip.Addr) *asking {
	a := from.As16()
	network, host := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
	return &c.asking[(network^host)*0x9e3779b97f4a7c15>>32*parts>>32]
}

// Ask remembers a question. It is on the path of every answer: it waits only for questions of addresses in the same part, and
// allocates only for addresses that are new.
func (c *Clients) Ask(q Question) {
	p := c.part(q.From)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.max = maxAsking / parts
	p.add(q.From.WithZone(""), q)
}

// Call remembers a call.
func (c *Clients) Call(one Call) {
	one.Asked = slices.Clone(one.Asked[:min(len(one.Asked), maxAsks)])
	c.callingMu.Lock()
	defer c.callingMu.Unlock()
	c.calling.max = maxCalling
	c.calling.add(one.Client, one)
}

// Questions is the last that came from an address, the latest first.
func (c *Clients) Questions(from netip.Addr) []Question {
	p := c.part(from)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(from.WithZone(""))
}

// Calls is the last calls for which is says yes, the latest first.
func (c *Clients) Calls(is func(Call) bool) []Call {
	c.callingMu.Lock()
	defer c.callingMu.Unlock()
	var found []Call
	c.calling.all(func(_ ledger.Client, calls []Call) {
		for _, one := range calls {
			if is(one) {
				found = append(found, one)
			}
		}
	})
	slices.SortStableFunc(found, func(a, b Call) int { return b.At.Compare(a.At) })
	return found
}
