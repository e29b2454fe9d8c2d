package kmsresponder

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"sync"
)

// A responder may be a host of its own pool by mistake, and two nodes may each
// be a host of the other's: a probe passes against a responder. What is here
// keeps a call from going round.

// errOwn is why this gateway does not ask a host.
var errOwn = errors.New("that is this responder itself: a call would come back here; give the KMS host's own address")

// own is where a gateway listens; zero where it does not.
type own struct{ netip.AddrPort }

// is reports whether a connection to an address, made from local, which may be
// unknown, comes back here. The system gives a connection to an address of this
// machine that address on both sides, unless it is a loopback address.
func (o own) is(to netip.AddrPort, local netip.Addr) bool {
	switch {
	case !o.IsValid() || o.Port() != to.Port():
		return false
	case !o.Addr().IsUnspecified():
		return o.Addr().Unmap() == to.Addr().Unmap()
	}
	return to.Addr().Unmap().IsLoopback() || local.IsValid() && local.Unmap() == to.Addr().Unmap()
}

// Itself reports whether the host of that endpoint is g, as far as calls have
// found out: it is asked nothing.
func (g *Gateway) Itself(endpoint string) bool {
	u := g.upstreams.find(endpoint)
	return u != nil && u.itself.Load()
}

// maxPasses is how often one message of one sender may be under way here at the
// same time: a gateway that asks this one may ask again on a new connection.
const maxPasses = 2

// underWay is the messages whose calls are not over. No two calls of clients
// have the same octets, of which the client's time or random ones are a part: a
// message that comes while it is under way, from somebody else or once too often,
// has been round. Its zero value is ready; any number of goroutines may use it.
type underWay struct {
	mu     sync.Mutex
	passes map[uint64]pass // by the hash of the message
}

// pass is the calls with one message.
type pass struct {
	from netip.Addr
	n    int
}

// seed makes it impossible to find two messages of one hash.
var seed = maphash.MakeSeed()

// begin takes message, which came from an address, or reports that it has been
// round. What is taken is to be ended by the hash.
func (w *underWay) begin(message []byte, from netip.Addr) (hash uint64, ok bool) {
	hash = maphash.Bytes(seed, message)
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.passes[hash]
	if p.n > 0 && (p.from != from || p.n >= maxPasses) {
		return 0, false
	}
	if w.passes == nil {
		w.passes = make(map[uint64]pass)
	}
	w.passes[hash] = pass{from, p.n + 1}
	return hash, true
}

// end ends a call that began.
func (w *underWay) end(hash uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.passes[hash]
	if p.n--; p.n > 0 {
		w.passes[hash] = p
	} else {
		delete(w.passes, hash)
	}
}
