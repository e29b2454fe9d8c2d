package kmsresponder

import (
	"cmp"
	"net/netip"
	"strconv"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// Result is what became of a client's call.
type Result uint8

const (
	// ForwardedOK: a host took the request, and its answer went to the client.
	// Whether the client was activated is not known: one below its threshold is
	// answered just so.
	ForwardedOK Result = iota

	ForwardedError // a host answered an error, which went to the client as it came
	AllDeclined    // every host that answered said that it cannot serve this client
	NoHost         // no host was believed alive, and none that was asked all the same answered
	Failed         // hosts were believed alive, and none answered in time
	Unreadable     // the client's message is none: it was answered by us
)

var resultWords = [...]string{"forwarded_ok", "forwarded_error", "declined", "no_host", "failed", "unreadable"}

// String returns the word that stands in logs and metrics.
func (r Result) String() string { return resultWords[r] }

// Results is every result, for those who prepare a row for each.
func Results() []Result {
	return []Result{ForwardedOK, ForwardedError, AllDeclined, NoHost, Failed, Unreadable}
}

// Outcome is what became of asking one host.
type Outcome uint8

const (
	Answered   Outcome = iota // it took the request
	Declined                  // it answered that it cannot serve this client
	Errored                   // it answered another error
	Dead                      // it refused or ended the connection
	Silent                    // it did not answer in time
	Garbled                   // it answered what is no answer
	Mismatched                // it answered another client's request
	Faulted                   // it answered an RPC fault, or refused the bind
	Unresolved                // no address of it is known
	Local                     // this machine could not ask
)

var outcomeWords = [...]string{"answered", "declined", "errored", "dead", "silent", "garbled", "mismatched", "faulted",
	"unresolved", "local"}

// String returns the word that stands in logs and metrics.
func (o Outcome) String() string { return outcomeWords[o] }

// Outcomes is every outcome, for those who prepare a row for each.
func Outcomes() []Outcome {
	return []Outcome{Answered, Declined, Errored, Dead, Silent, Garbled, Mismatched, Faulted, Unresolved, Local}
}

// answered reports whether the host said what it thinks of the request.
func (o Outcome) answered() bool { return o <= Errored }

// Ask is one time that one host was asked.
type Ask struct {
	Host    string // its endpoint
	Outcome Outcome
	HRESULT kmswire.HRESULT // that it answered; OK if it did not
	Err     error           // why there was no answer; nil if there was one
	Took    time.Duration
	Copy    bool // of another host's call, to keep this one warm; no client waits for it
}

// CallRecord is one call of one client, as it ended.
type CallRecord struct {
	At        time.Time // when it began
	Took      time.Duration
	From      netip.Addr
	Version   kmswire.Version // zero if Unreadable
	Result    Result
	Host      string // the endpoint whose answer the client got; empty if none answered
	HRESULT   kmswire.HRESULT
	Retries   int // stale connections that were replaced, and hosts that were asked again
	Failovers int // hosts that were given up for another one

	// Asks is the hosts in the order in which they were asked. It is nil if the first one ended the call: then it is Host.
	Asks []Ask

	// Request is what the client said of itself, nil but for version 4: all
	// others are opaque. It must not be changed.
	Request *kmswire.RequestV4
	Count   uint32 // of clients, as the host answered it; 0 if it cannot be seen
}

// String is the line for a log: the fields of event 12290 in their order, as far
// as they can be seen, then who asked, and how the call went. What the client
// said is escaped.
func (r CallRecord) String() string { return string(r.Append(make([]byte, 0, 384))) }

// Append appends what String returns to b.
func (r CallRecord) Append(b []byte) []byte {
	if r.Request != nil {
		b = appendRequest(b, r.HRESULT, r.Request)
	} else {
		b = append(appendHRESULT(b, r.HRESULT), ", -, -, -, -, -, -, -, - from "...)
	}
	b = append(append(r.From.AppendTo(b), " version "...), versionWord(r.Version)...)
	b = append(append(append(b, " host "...), cmp.Or(r.Host, "none")...), ' ')
	b = append(b, r.Result.String()...)
	if r.Request != nil && r.Result == ForwardedOK {
		b = strconv.AppendUint(append(b, " count "...), uint64(r.Count), 10)
	}
	b = append(strconv.AppendFloat(append(b, " in "...), float64(r.Took.Microseconds())/1000, 'f', 2, 64), "ms"...)
	b = strconv.AppendInt(append(b, ", "...), int64(r.Retries), 10)
	b = strconv.AppendInt(append(b, " retries, "...), int64(r.Failovers), 10)
	return append(b, " failovers"...)
}

// Observer hears what a gateway does. Any number of goroutines call it at once,
// some of them while a client waits: it must be quick.
type Observer interface {
	Called(CallRecord)
	Asked(Ask)
	Refused(Refusal, netip.Addr)

	// Present is told every few seconds which hosts there are: what was counted of
	// others is not to pile up, since hosts that announce themselves come and go.
	Present(hosts map[string]bool)
}

// unobserved is the Observer of a gateway that nobody watches.
type unobserved struct{}

func (unobserved) Called(CallRecord)           {}
func (unobserved) Asked(Ask)                   {}
func (unobserved) Refused(Refusal, netip.Addr) {}
func (unobserved) Present(map[string]bool)     {}
