package kmsresponder

import (
	"bytes"
	"errors"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// hostAnswer is what came of asking one host.
type hostAnswer struct {
	outcome  Outcome
	err      error // nil if the host answered
	response []byte
	hr       kmswire.HRESULT
	count    uint32 // of clients, where it can be seen
	retries  int
}

var (
	errMismatch   = errors.New("answer to another request")
	errNoAddress  = errors.New("no address of the host is known")
	errNoResponse = errors.New("success without a message")

	errErrorMessage = errors.New("error with a message")
)

// request asks t once, until the time given. q is the request of message if that
// can be seen, else nil.
//
// A parked connection may have been closed by the host since, and nobody is to
// blame for that; or a firewall on the way may have forgotten it, and swallow
// what comes. Whatever goes wrong on one, short of an answer, is tried once more
// on a new one, which decides. To ask a host twice does no harm: it counts a
// client once.
func (g *Gateway) request(t target, message []byte, q *kmswire.RequestV4, until time.Time) hostAnswer {
	if len(t.addresses) == 0 {
		return hostAnswer{outcome: Unresolved, err: errNoAddress}
	}
	u := g.upstreams.get(t.endpoint)
	if world := g.settings.Load().World; world != nil {
		response, hr, err := world.Exchange(t.endpoint, message, until)
		a := judged(message, q, response, hr, err)
		u.note(a.outcome, world.Now())
		return a
	}
	c := u.take(t.addresses, 0, time.Now())
	if c == nil {
		return u.anew(t, message, q, until)
	}
	parked := c.parked
	a := u.use(c, message, q, parkedUntil(until))
	if !a.stale() {
		return a
	}
	return u.replace(parked, t, message, q, until)
}

// stale reports whether a, of a parked connection, is to be had again on a new
// one.
func (a *hostAnswer) stale() bool {
	return a.outcome == Dead || a.outcome == Garbled || a.outcome == Silent
}

// replace asks again after a connection parked at the time given was stale, as
// those are then that were parked before.
func (u *upstream) replace(parked time.Time, t target, message []byte, q *kmswire.RequestV4, until time.Time) hostAnswer {
	u.expire(parked)
	a := u.anew(t, message, q, until)
	a.retries = 1
	return a
}

// anew asks t on a new connection.
func (u *upstream) anew(t target, message []byte, q *kmswire.RequestV4, until time.Time) hostAnswer {
	c, err := u.dial(t.addresses, t.port, until)
	if err != nil {
		a := hostAnswer{outcome: classify(err), err: err}
		u.note(a.outcome, time.Now())
		return a
	}
	return u.use(c, message, q, until)
}

// parkedUntil is until when a parked connection may take, so that a new one has
// most of the time.
func parkedUntil(until time.Time) time.Time {
	now := time.Now()
	return now.Add(min(until.Sub(now)/3, time.Second))
}

// use has message answered on c, which it parks or closes.
func (u *upstream) use(c *upstreamConn, message []byte, q *kmswire.RequestV4, until time.Time) hostAnswer {
	response, hr, err := c.exchange(message, until)
	return u.settle(c, message, q, response, hr, err)
}

// settle decides what came of having message answered on c, which it parks or
// closes: so if more came than the answer, which belongs to nobody and would be
// taken for that of the next call.
func (u *upstream) settle(c *upstreamConn, message []byte, q *kmswire.RequestV4, response []byte, hr kmswire.HRESULT, err error) hostAnswer {
	a := judged(message, q, response, hr, err)
	now := time.Now()
	if a.outcome.answered() && c.in.Buffered() == 0 {
		u.park(c, now)
	} else {
		c.close()
	}
	u.note(a.outcome, now)
	return a
}

// judged is what came of having message answered.
func judged(message []byte, q *kmswire.RequestV4, response []byte, hr kmswire.HRESULT, err error) hostAnswer {
	if err != nil {
		return hostAnswer{outcome: classify(err), err: err}
	}
	a := hostAnswer{response: bytes.Clone(response), hr: hr}
	a.judge(message, q)
	return a
}

// note remembers whether the host keeps calls waiting in vain.
func (u *upstream) note(o Outcome, now time.Time) {
	if o == Silent {
		u.silent.Store(&now)
	} else if o.answered() && u.silent.Load() != nil {
		u.silent.Store(nil)
	}
}

// judge decides what the host's answer comes to. It must be of the version that
// was asked, and where the client and its time can be seen, theirs: a success
// that belongs to somebody else must not reach the client.
func (a *hostAnswer) judge(message []byte, q *kmswire.RequestV4) {
	switch {
	case a.hr != kmswire.OK && len(a.response) > 0:
		a.outcome, a.err = Garbled, errErrorMessage // an error has no message: these octets were damaged
		return
	case declined(a.hr):
		a.outcome = Declined
		return
	case a.hr != kmswire.OK:
		a.outcome = Errored
		return
	case len(a.response) == 0:
		a.outcome, a.err = Garbled, errNoResponse
		return
	}
	asked, _ := kmswire.ParseVersion(message)
	answered, err := kmswire.ParseVersion(a.response)
	switch {
	case err != nil:
		a.outcome, a.err = Garbled, err
		return
	case asked != answered:
		a.outcome, a.err = Mismatched, errMismatch
		return
	case q == nil:
		a.outcome = Answered
		return
	}
	r, err := kmswire.ParseResponseV4(a.response)
	switch {
	case err != nil:
		a.outcome, a.err = Garbled, err
	case r.CMID != q.CMID || r.ClientTime != q.ClientTime:
		a.outcome, a.err = Mismatched, errMismatch
	default:
		a.outcome, a.count = Answered, r.Count
	}
}
