package simulate

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// roundTrip is how long an answer takes, and a refusal.
const roundTrip = 2 * time.Millisecond

// opaque is how long a request is of which only the version can be read.
const opaque = 260

// host is one KMS host.
type host struct {
	kmsresponder.Rehearsal
	endpoint string
	troubles []span // those that are over are dropped
	hour     int64  // the calls of which thisHour counts
	thisHour uint64
	sample   uint64 // calls answered since the last sample
	result   HostResult
}

// state is what is wrong with the host at t. Times may go back by less than any trouble is over.
func (h *host) state(t time.Duration) ailment {
	for i := range h.troubles {
		switch s := &h.troubles[i]; {
		case t < s.from:
			return well
		case t < s.to:
			return s.what
		}
	}
	return well
}

// forget drops the troubles that were over at t.
func (h *host) forget(t time.Duration) {
	for len(h.troubles) > 0 && h.troubles[0].to <= t {
		h.troubles = h.troubles[1:]
	}
}

// ask has h answer q, for as long as patience lasts.
func (w *world) ask(h *host, q kmswire.RequestV4, patience time.Duration) (kmswire.ResponseV4, kmswire.HRESULT, error) {
	switch h.state(w.at().Sub(start)) {
	case refusing:
		h.result.Lost++
		w.spent += roundTrip
		return kmswire.ResponseV4{}, 0, syscall.ECONNREFUSED
	case off, hung:
		h.result.Lost++
		w.spent += max(patience, 0)
		return kmswire.ResponseV4{}, 0, os.ErrDeadlineExceeded
	}
	w.spent += roundTrip
	r, hr := h.Respond(q, w.at())
	if hr == kmswire.OK {
		h.result.Count, h.result.Most = r.Count, max(h.result.Most, r.Count)
	}
	h.answered(w.at())
	if w.copying {
		h.result.Copies++
	}
	return r, hr, nil
}

// answered counts a call that was answered at t.
func (h *host) answered(t time.Time) {
	if hour := t.Unix() / 3600; hour != h.hour {
		h.hour, h.thisHour = hour, 0
	}
	h.thisHour++
	h.sample++
	h.result.Calls++
	h.result.Peak = max(h.result.Peak, h.thisHour)
}

// discover is the Discover of clients: the records of an answer of the pool, as old as a cache may have it.
func (w *world) discover(context.Context, string) ([]kmsresponder.SRV, error) {
	i := len(w.answers) - 1
	if i > 0 {
		asked := w.at().Add(-time.Duration(w.cache.Int64N(int64(w.TTL))))
		for i > 0 && w.answers[i].from.After(asked) {
			i--
		}
	}
	return w.answers[i].records, nil
}

// exchange is the Exchange of clients.
func (w *world) exchange(_ context.Context, to kmsresponder.SRV, q kmswire.RequestV4) (kmswire.ResponseV4, kmswire.HRESULT, error) {
	w.result.Calls++
	var (
		r   kmswire.ResponseV4
		hr  kmswire.HRESULT
		err error
	)
	if n := w.numbers[to.Target]; n < len(w.hosts) {
		r, hr, err = w.ask(w.hosts[n], q, kmsresponder.DefaultClientTimeout)
	} else {
		r, hr, err = w.call(q)
	}
	if err != nil {
		w.result.CallsLost++
	}
	return r, hr, err
}

// call has the responder answer q.
func (w *world) call(q kmswire.RequestV4) (kmswire.ResponseV4, kmswire.HRESULT, error) {
	w.request = q
	version, message := kmswire.V6, w.message[:0]
	if w.Vista {
		version, message = kmswire.V4, q.Append(message)
	} else {
		message = version.Append(message)[:opaque]
	}
	response, hr, fault := w.gateway.Call(w.caller, message)
	w.copying, w.spent = false, w.spentOnCall
	switch {
	case fault != 0:
		return kmswire.ResponseV4{}, 0, fmt.Errorf("fault %v", fault)
	case hr != kmswire.OK:
		return kmswire.ResponseV4{}, hr, nil
	case version != kmswire.V4:
		response = response[len(version.Append(nil)):]
	}
	r, err := kmswire.ParseResponseV4(response)
	return r, kmswire.OK, err
}

// forward is the Exchange of the responder. A response that is not of version 4 has one behind its version.
func (w *world) forward(endpoint string, message []byte, until time.Time) ([]byte, kmswire.HRESULT, error) {
	r, hr, err := w.ask(w.byEndpoint[endpoint], w.request, until.Sub(w.at()))
	if err != nil || hr != kmswire.OK {
		return nil, hr, err
	}
	w.response = w.response[:0]
	if !w.Vista {
		w.response = kmswire.V6.Append(w.response)
	}
	w.response = r.Append(w.response)
	return w.response, kmswire.OK, nil
}

// Called hears from the responder that it has answered its client. What it does after that, nobody waits for.
func (w *world) Called(r kmsresponder.CallRecord) {
	w.copying, w.spentOnCall = true, w.spent
	n := w.result.Responder
	n.Calls++
	n.Failovers += uint64(r.Failovers)
	switch r.Result {
	case kmsresponder.NoHost:
		n.NoHost++
	case kmsresponder.Failed:
		n.Failed++
	default:
		n.Answered++
	}
}

// The rest of the responder's Observer.
func (w *world) Asked(kmsresponder.Ask)                   {}
func (w *world) Refused(kmsresponder.Refusal, netip.Addr) {}
func (w *world) Present(map[string]bool)                  {}
