package kmsresponder

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// told is what a gateway told its Observer.
type told struct {
	mu      sync.Mutex
	called  []CallRecord // that nobody has taken yet
	asked   int
	refused [RefusedLoop + 1]int
}

func (o *told) Called(r CallRecord) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.called = append(o.called, r)
}

func (o *told) Asked(Ask) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
}

func (o *told) Refused(r Refusal, _ netip.Addr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused[r]++
}

func (o *told) Present(map[string]bool) {}

// take removes the first record that is wanted, and returns it.
func (o *told) take(wanted func(CallRecord) bool) (r CallRecord, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.called, wanted)
	if i < 0 {
		return r, false
	}
	r = o.called[i]
	o.called = slices.Delete(o.called, i, i+1)
	return r, true
}

// ruling is the model of how a gateway has calls answered, as "The responder" in docs/design.md says.
type ruling struct {
	hosts    *pool.Snapshot // they never change: nobody probes them, and they have too much to prove to come back
	down     []string
	policy   config.Policy
	rate     int
	declined map[refused]bool

	taken map[string]float64 // by client address, the seconds for which it has made requests ahead
	asked int
	busy  int // requests refused for their rate
}

// admits reports whether a client may make one more request. All of an input happens at one moment.
func (u *ruling) admits(address string) bool {
	if u.rate < 0 {
		return true
	}
	next := u.taken[address] + 60/float64(u.rate)
	if next > 60 {
		u.busy++
		return false
	}
	u.taken[address] = next
	return true
}

// client is who makes a call with message, as far as hosts that declined it are remembered.
func clientBehind(address netip.Addr, message string) (ledger.Client, kmswire.Version, bool) {
	v, err := kmswire.ParseVersion([]byte(message))
	if err != nil || v != kmswire.V4 {
		return ledger.ByAddress(address), v, err == nil
	}
	q, err := kmswire.ParseRequestV4([]byte(message))
	if err != nil || q.CMID == (kmswire.GUID{}) {
		return ledger.ByAddress(address), v, err == nil
	}
	return ledger.ByCMID(q.CMID), v, true
}

// round is the hosts to be asked in a stage: those that are offered, then those believed down; those that declined this client
// before behind the others; nobody who has said what there is to say. Hosts in one part may be asked in any order.
func (u *ruling) round(stage int, by func(string) refused, done map[string]bool) (parts [][]string) {
	if stage%2 == 1 {
		for _, h := range u.down {
			if !done[h] {
				parts = append(parts, []string{h})
			}
		}
		return parts
	}
	for _, unable := range []bool{false, true} {
		last := uint16(0)
		var part []string
		for _, r := range u.hosts.Records {
			if u.declined[by(r.Endpoint)] != unable || done[r.Endpoint] {
				continue
			}
			if len(part) > 0 && (u.policy == config.Concentrate || r.Priority != last) {
				parts, part = append(parts, part), nil
			}
			part, last = append(part, r.Endpoint), r.Priority
		}
		if len(part) > 0 {
			parts = append(parts, part)
		}
	}
	return parts
}

// judge checks what r says of a call: who was asked, in which order, how often, and what it came to.
func (u *ruling) judge(r CallRecord, message string) error {
	client, version, readable := clientBehind(r.From, message)
	if !readable {
		if r.Result != Unreadable || r.HRESULT != kmswire.InvalidData || r.Asks != nil {
			return fmt.Errorf("what is no request was forwarded: %v", r)
		}
		return nil
	}
	asks := r.Asks
	if ends := r.Result == ForwardedOK || r.Result == ForwardedError; asks == nil && ends {
		asks = []Ask{{Host: r.Host, Outcome: Answered, HRESULT: r.HRESULT}}
		if r.Result == ForwardedError {
			asks[0].Outcome = Errored
		}
	}
	u.asked += len(asks)
	by := func(host string) refused { return refused{client, version, host} }
	var (
		at       int
		done     = make(map[string]bool)
		first    *Ask // that declined
		believed bool // one that was asked was
		mute     bool // and one of those did not say what it thinks
	)
	want := Result(255)
stages:
	for stage := range 2 * rounds {
		if stage > 0 && stage%2 == 0 && len(done) >= u.hosts.Standing {
			break
		}
		for _, part := range u.round(stage, by, done) {
			for len(part) > 0 {
				if at == len(asks) {
					return fmt.Errorf("nobody of %v was asked in stage %d: %v, %+v", part, stage, r, asks)
				}
				a := &asks[at]
				at++
				i := slices.Index(part, a.Host)
				if i < 0 {
					return fmt.Errorf("%s was asked where %v was to be in stage %d: %v, %+v", a.Host, part, stage, r, asks)
				}
				part = slices.Delete(part, i, i+1)
				down := stage%2 == 1 || u.hosts.Condition == pool.AllDown
				believed = believed || !down
				mute = mute || !down && !a.Outcome.answered()
				switch a.Outcome {
				case Answered:
					want = ForwardedOK
				case Errored:
					want = ForwardedError
				case Declined:
					if done[a.Host] = true; first == nil {
						first = a
					}
				case Silent:
					done[a.Host] = true
				case Faulted:
					if errors.Is(a.Err, hostFault{dcerpc.StatusServerTooBusy}) {
						done[a.Host] = true
					}
				}
				if want != 255 {
					break stages
				}
			}
		}
	}
	// What is remembered for the next call; asks is in order.
	for _, a := range asks {
		if a.Outcome == Declined {
			u.declined[by(a.Host)] = true
		} else if a.Outcome == Answered || a.Outcome == Errored {
			delete(u.declined, by(a.Host))
		}
	}
	host, hr := "", kmswire.OK
	switch {
	case want != 255:
		host, hr = asks[at-1].Host, asks[at-1].HRESULT
	case first != nil && !mute:
		want, host, hr = AllDeclined, first.Host, first.HRESULT
	case believed:
		want = Failed
	default:
		want = NoHost
	}
	failovers := len(asks)
	if want == ForwardedOK || want == ForwardedError {
		failovers--
	}
	if at != len(asks) || r.Result != want || r.Host != host || r.HRESULT != hr || r.Version != version || r.Failovers != failovers {
		return fmt.Errorf("%+v, of which %d were to be asked; want %v by %q with %v and %d failovers: %+v",
			asks, at, want, host, hr, failovers, r)
	}
	return nil
}

// witness compares what a gateway says of hosts with what they did. Calls were made one after the other. Of a host that is not
// there nobody knows; any other is dead only if it was so on a new connection.
func (d *diary) witness(r CallRecord, message string, gone []string) error {
	asks := r.Asks
	if asks == nil && r.Host != "" {
		asks = []Ask{{Host: r.Host, HRESULT: r.HRESULT}}
		if r.Result == ForwardedError {
			asks[0].Outcome = Errored
		}
	}
	for i, a := range asks {
		about := func(done deedDone) bool { return done.message == message || done.message == "" }
		done, ok := d.take(a.Host, func(done deedDone) bool {
			return about(done) && (a.Outcome != Mismatched || done.deed.outcome() == Mismatched)
		})
		if ok && done.parked {
			// Once more on a new connection, before it is blamed.
			if o := done.deed.outcome(); o == Dead || o == Garbled {
				done, ok = d.take(a.Host, func(done deedDone) bool { return about(done) && !done.parked })
			}
		}
		switch {
		case !ok && !(a.Outcome == Dead && slices.Contains(gone, a.Host)) && a.Outcome != Mismatched && a.Outcome != Unresolved:
			return fmt.Errorf("ask %d: nobody at %s knows of %+v", i, a.Host, a)
		case ok && (done.deed.outcome() != a.Outcome || a.Outcome.answered() && done.deed.hresult() != a.HRESULT):
			return fmt.Errorf("ask %d: the host did %+v, the gateway says %+v", i, done, a)
		}
	}
	return nil
}

// errStalled says that a host was taken for one that is silent. Nothing follows from that if the machine had no time for it; but
// then it does not happen five times.
var errStalled = errors.New("a call took longer than any host")

// stalled reports whether r, or its answers, came of that.
func stalled(r CallRecord) bool {
	return r.Took > time.Second || slices.ContainsFunc(r.Asks, func(a Ask) bool { return a.Outcome == Silent })
}

// answered compares an answer to the call d with r.
func (d due) answered(p dcerpc.PDU, r CallRecord) error {
	if r.Result == NoHost || r.Result == Failed {
		d.kind, d.status = dcerpc.TypeFault, dcerpc.StatusServerTooBusy
		return d.check(p)
	}
	got, err := dcerpc.ParseResponse(p)
	if err != nil || p.CallID != d.call || p.Flags != whole || got.ContextID != d.context {
		return fmt.Errorf("%+v, %v, want the response of call %d in context %d", p.Header, err, d.call, d.context)
	}
	response, hr, err := kmswire.ParseResponseStub(got.Stub, d.ndr64)
	if err != nil || hr != r.HRESULT || hr != kmswire.OK && len(response) > 0 {
		return fmt.Errorf("%v, %v with %d octets; the record is %v", hr, err, len(response), r)
	}
	if hr != kmswire.OK {
		return nil
	}
	return rightful([]byte(d.message), response)
}
