package kmsresponder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

const (
	// rounds is how often all hosts are asked in one call, while no answer comes.
	rounds = 4

	// again is how long after all hosts have failed they are asked once more:
	// time for one that is just being restarted. It doubles each time.
	again = 50 * time.Millisecond
)

// gatewayCall is one call of one client on its way.
type gatewayCall struct {
	gateway  *Gateway
	settings *settings
	ctx      context.Context
	message  []byte
	client   ledger.Client
	deadline time.Time
	record   CallRecord
	underWay uint64 // of gateway.underWay

	believed bool             // a host that was asked was believed alive
	again    bool             // all hosts have been asked once
	done     map[string]bool  // by endpoint, hosts not to be asked again; nil while there is none
	declined *kmswire.HRESULT // what the first host said that declined
	mute     bool             // a host that is believed alive said nothing: it might have served

	head headStart
}

// headStart is the beginning of a call that somebody made who does not wait: the
// first host was asked, on a parked connection.
type headStart struct {
	made         bool
	snapshot     *pool.Snapshot
	targets      []target // the first of them was asked
	began, until time.Time
	parked       time.Time // when the connection was
	answer       hostAnswer
}

// answer has one call of a client answered by a host.
func (g *Gateway) answer(ctx context.Context, from netip.Addr, client *guest, message []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
	var c gatewayCall
	if hr, status, goes := c.begin(ctx, g, from, client, message, g.settings.Load().now()); !goes {
		return nil, hr, status
	}
	return c.verdict(c.forward())
}

// begin makes c a client's call. If it does not go to hosts, the client is
// answered hr or the fault at once.
func (c *gatewayCall) begin(ctx context.Context, g *Gateway, from netip.Addr, client *guest, message []byte, now time.Time) (
	hr kmswire.HRESULT, fault dcerpc.Status, goes bool,
) {
	s := g.settings.Load()
	if !g.admission.request(client, now, s.Limits) {
		s.Observer.Refused(RefusedRate, from)
		return 0, dcerpc.StatusServerTooBusy, false
	}
	*c = gatewayCall{
		gateway: g, settings: s, ctx: ctx, message: message, client: ledger.ByAddress(from), deadline: now.Add(s.Budget),
		record: CallRecord{At: now, From: from},
	}
	if !c.read() {
		c.record.Result, c.record.HRESULT = Unreadable, kmswire.InvalidData
		c.end()
		return kmswire.InvalidData, 0, false
	}
	var first bool
	if c.underWay, first = g.underWay.begin(message, from); !first {
		s.Observer.Refused(RefusedLoop, from)
		return 0, dcerpc.StatusServerTooBusy, false
	}
	return 0, 0, true
}

// verdict ends the call, for which a host answered response or none did. It
// returns what the client is answered.
func (c *gatewayCall) verdict(response []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
	c.gateway.underWay.end(c.underWay)
	c.end()
	if r := c.record.Result; r == NoHost || r == Failed {
		return nil, 0, dcerpc.StatusServerTooBusy
	}
	return response, c.record.HRESULT, 0
}

// read reads what is in the clear, and reports whether the message can be one. A
// version that is not known yet can: what it means is for the hosts to know.
func (c *gatewayCall) read() bool {
	v, err := kmswire.ParseVersion(c.message)
	if err != nil {
		return false
	}
	c.record.Version = v
	if v != kmswire.V4 {
		return true
	}
	q, err := kmswire.ParseRequestV4(c.message)
	if err != nil {
		return false
	}
	c.record.Request = &q
	if q.CMID != (kmswire.GUID{}) {
		c.client = ledger.ByCMID(q.CMID)
	}
	return true
}

// forward asks one host after the other until one answers. It returns the answer
// and leaves the rest in the record.
//
// After the hosts that are offered come those believed down: they are asked
// because the belief is seconds old, and some client's call would be lost for
// it. And then all again, as one may have come while the other went.
func (c *gatewayCall) forward() []byte {
	for stage := range 2 * rounds {
		if stage > 0 && stage%2 == 0 {
			if !c.pause(c.settings.again << (stage/2 - 1)) {
				break
			}
			c.again = true
		}
		snapshot, targets := c.choose(stage)
		for _, t := range targets {
			if response, ok := c.ask(t, snapshot); ok {
				return response
			}
			if c.deadline.Before(c.settings.now()) {
				return c.fail()
			}
		}
	}
	return c.fail()
}

// choose returns the hosts to be asked in a stage.
func (c *gatewayCall) choose(stage int) (*pool.Snapshot, []target) {
	if c.head.made {
		return c.head.snapshot, c.head.targets
	}
	s := c.settings.Pool.Snapshot()
	if stage%2 == 1 {
		return s, c.down(s)
	}
	return s, c.offered(s)
}

// fail settles the result of a call that no host took.
func (c *gatewayCall) fail() []byte {
	switch {
	case c.declined != nil && !c.mute:
		c.record.Result, c.record.HRESULT = AllDeclined, *c.declined
	case c.believed:
		c.record.Result, c.record.Host = Failed, ""
	default:
		c.record.Result, c.record.Host = NoHost, ""
	}
	return nil
}

// pause waits before another round, and reports whether there is to be one.
func (c *gatewayCall) pause(d time.Duration) bool {
	if len(c.done) >= c.settings.Pool.Snapshot().Standing {
		return false // they have all said what they had to say
	}
	if c.deadline.Sub(c.settings.now()) <= d {
		return false
	}
	if c.settings.World != nil {
		c.settings.World.Sleep(d)
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// ask asks t, or has it answer that was asked already, and reports whether the
// answer ends the call.
func (c *gatewayCall) ask(t target, s *pool.Snapshot) (response []byte, ends bool) {
	h := &c.head
	if !h.made {
		began := c.settings.now()
		return c.heard(t, c.gateway.request(t, c.message, c.record.Request, c.share(t, s)), began, s)
	}
	h.made = false
	if h.answer.stale() {
		h.answer = c.gateway.upstreams.get(t.endpoint).replace(h.parked, t, c.message, c.record.Request, h.until)
	}
	return c.heard(t, h.answer, h.began, s)
}

// heard takes the answer of t, and reports whether it ends the call.
func (c *gatewayCall) heard(t target, a hostAnswer, began time.Time, s *pool.Snapshot) (response []byte, ends bool) {
	c.believed = c.believed || !t.down
	c.record.Retries += a.retries
	if c.again {
		c.record.Retries++
	}
	one := Ask{Host: t.endpoint, Outcome: a.outcome, HRESULT: a.hr, Err: a.err, Took: c.settings.now().Sub(began)}
	c.settings.Observer.Asked(one)
	c.inform(t, a.outcome, s)
	if ends = a.outcome == Answered || a.outcome == Errored; !ends || c.record.Asks != nil {
		c.record.Asks = append(c.record.Asks, one) // most calls end with the first, and have nothing to tell
	}
	switch a.outcome {
	case Answered, Errored:
		c.record.Result = ForwardedOK
		if a.outcome == Errored {
			c.record.Result = ForwardedError
		}
		c.record.Host, c.record.HRESULT, c.record.Count = t.endpoint, a.hr, a.count
		c.gateway.memory.forget(c.refusal(t.endpoint))
		return a.response, ends
	case Declined:
		if c.declined == nil {
			c.declined, c.record.Host = &a.hr, t.endpoint
		}
		c.gateway.memory.add(c.refusal(t.endpoint), c.record.At)
		c.exclude(t.endpoint)
	case Silent:
		// It would cost the second round what it cost the first.
		c.exclude(t.endpoint)
	case Faulted:
		// Another responder has asked all of its hosts, four times, or was asked this
		// by whoever has it from here. A round more for each round of ours would
		// multiply with every responder on the way.
		if errors.Is(a.err, hostFault{dcerpc.StatusServerTooBusy}) {
			c.exclude(t.endpoint)
		}
	case Local:
		if errors.Is(a.err, errOwn) {
			c.exclude(t.endpoint)
		}
	}
	c.mute = c.mute || !t.down && !a.outcome.answered()
	c.record.Failovers++
	return nil, ends
}

func (c *gatewayCall) exclude(endpoint string) {
	if c.done == nil {
		c.done = make(map[string]bool)
	}
	c.done[endpoint] = true
}

// inform tells the pool how asking t went. While all that is offered is known to
// be up, another success is no news.
func (c *gatewayCall) inform(t target, o Outcome, s *pool.Snapshot) {
	switch {
	case o == Answered || o == Errored:
		if t.down || s.Condition != pool.Calm || !s.Checked {
			c.settings.Pool.Served(t.endpoint)
		}
	case o == Declined || o == Local || o == Unresolved:
		// Alive, but of no use here; and nothing that a host could be blamed for.
	default:
		c.settings.Pool.Failed(t.endpoint)
	}
}

// end records the call, and has it copied to hosts that are to be kept warm.
func (c *gatewayCall) end() {
	r := &c.record
	r.Took = c.settings.now().Sub(r.At)
	c.settings.Observer.Called(*r)
	if c.settings.Ledger == nil || r.Result == Unreadable {
		return
	}
	entry := ledger.Call{
		At: r.At, Client: c.client, From: r.From, Host: r.Host, Counted: r.Result == ForwardedOK,
		Version: versionWord(r.Version), Result: r.Result.String(),
	}
	if r.Request != nil {
		entry.Machine = r.Request.MachineName
	}
	c.settings.Ledger.Record(entry)
	if c.settings.Warm > 0 && r.Result == ForwardedOK {
		c.gateway.copyCall(copyJob{entry, r.Version, r.Request, bytes.Clone(c.message)})
	}
}

// versionWord is v.String() without the work, for versions that exist.
func versionWord(v kmswire.Version) string {
	switch v {
	case kmswire.V4:
		return "4.0"
	case kmswire.V5:
		return "5.0"
	case kmswire.V6:
		return "6.0"
	}
	return fmt.Sprint(v)
}
