package kmsresponder

import (
	"context"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

const (
	// copyEvery is how often a request of one client is copied to one host: as
	// often as the client itself renews.
	copyEvery = 7 * 24 * time.Hour

	// counted is how long a host counts a client that does not come again.
	counted = ledger.Window * 24 * time.Hour

	// copyQueue bounds the calls that wait to be copied. One that finds it full
	// is not copied: the client comes again.
	copyQueue = 256

	// copyPause is how long calls are left to gather before they are copied.
	copyPause = 10 * time.Millisecond
)

// copyJob is a call that a host has answered, to be sent to others too.
type copyJob struct {
	call    ledger.Call
	version kmswire.Version
	request *kmswire.RequestV4 // nil if opaque
	message []byte
}

// copyCall hands j over to sendCopies. It does not wait.
func (g *Gateway) copyCall(j copyJob) {
	select {
	case g.copies <- j:
	default:
	}
}

// sendCopies keeps hosts warm until ctx is done. It does one thing at a time:
// nobody waits for it, and hosts are not to notice.
func (g *Gateway) sendCopies(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-g.copies:
			g.copyTo(ctx, j)
			for range len(g.copies) {
				g.copyTo(ctx, <-g.copies)
			}
		}
		// To be woken costs a call more than all of its bookkeeping.
		select {
		case <-ctx.Done():
			return
		case <-time.After(copyPause):
		}
	}
}

// copyTo sends j to each healthy host that lacks clients, or that counts this
// one thanks to a copy and would forget it.
func (g *Gateway) copyTo(ctx context.Context, j copyJob) {
	s := g.settings.Load()
	snapshot := s.Pool.Snapshot()
	if s.Warm <= 0 || snapshot.Condition == pool.AllDown || snapshot.Condition == pool.SelfSuspected {
		return
	}
	for i := range snapshot.Records {
		r := &snapshot.Records[i]
		if ctx.Err() != nil {
			return
		}
		if r.Endpoint == j.call.Host || !g.wants(s, r.Endpoint, j) {
			continue
		}
		t := target{endpoint: r.Endpoint, addresses: r.Addresses, port: r.Port}
		began := s.now()
		a := g.request(t, j.message, j.request, began.Add(s.Budget*3/10))
		s.Observer.Asked(Ask{Host: r.Endpoint, Outcome: a.outcome, Err: a.err, Took: s.now().Sub(began), Copy: true})
		switch a.outcome {
		case Answered:
			entry := j.call
			entry.Host, entry.Copied = r.Endpoint, true
			s.Ledger.Enter(entry)
		case Declined:
			g.memory.add(refused{j.call.Client, j.version, r.Endpoint}, j.call.At)
		}
	}
}

// wants reports whether the host called endpoint is to get a copy of j.
func (g *Gateway) wants(s *settings, endpoint string, j copyJob) bool {
	if !s.covers(endpoint, j.request) || g.memory.has(refused{j.call.Client, j.version, endpoint}, j.call.At) {
		return false
	}
	if u := g.upstreams.find(endpoint); u != nil && u.wasSilent(j.call.At) {
		return false
	}
	most := s.Warm
	if j.request == nil {
		// Known by its address, of which one machine may have several in a month:
		// the host may count fewer than the ledger does.
		most *= 3
	}
	last := s.Ledger.Visited(j.call.Client, endpoint)
	if age := j.call.At.Sub(last); !last.IsZero() && age < counted {
		return age >= copyEvery && s.Ledger.Clients(endpoint) <= most
	}
	return s.Ledger.Clients(endpoint) < most
}
