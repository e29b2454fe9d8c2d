// Package probe asks one host whether it serves KMS, without leaving a trace in its count: it connects and, for the rpc
// kind, binds to the KMS interface and closes. It never sends an activation request.
//
// It knows one host at a time: when to ask, and what an answer does to a host, are the pool's business.
package probe

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Outcome is how a probe ended, in one word. It is the label of metrics and the word of the command line.
type Outcome uint8

const (
	Passed      Outcome = iota // the host serves KMS, as far as the kind of probe can tell
	Refused                    // the connection was refused: nothing listens there, or a firewall says no
	Unreachable                // no route to the host or its network
	Timeout                    // nothing came back in time
	Closed                     // the connection was closed or reset before an answer
	Rejected                   // it speaks DCE/RPC and does not offer the KMS interface
	Garbled                    // it answered something that is not a complete DCE/RPC answer to a bind
	Unresolved                 // the host's name has no known address
	Local                      // this machine could not ask: out of descriptors, ports or memory, or it is stopping
)

var outcomeWords = [...]string{"passed", "refused", "unreachable", "timeout", "closed", "rejected", "garbled", "unresolved", "local"}

func (o Outcome) String() string { return outcomeWords[o] }

// Outcomes is every outcome, for those who prepare a row for each.
func Outcomes() []Outcome {
	all := make([]Outcome, len(outcomeWords))
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}

// Verdict says whether o tells anything about the host. A name that does not resolve and a machine that cannot ask do not.
func (o Outcome) Verdict() bool { return o != Unresolved && o != Local }

// Spoke says whether the far end answered with bytes of its own: then the network between is not what failed.
func (o Outcome) Spoke() bool { return o == Passed || o == Rejected || o == Garbled }

// Stage is how far a probe got.
type Stage uint8

const (
	Resolve Stage = iota // finding the host's addresses
	Connect              // the TCP handshake
	Bind                 // the DCE/RPC bind to the KMS interface
)

var stageWords = [...]string{"resolve", "connect", "bind"}

func (s Stage) String() string { return stageWords[s] }

// Result is what one probe of one host found. The state machine, metrics, logs, status page and command line share it.
type Result struct {
	Outcome Outcome
	Stage   Stage          // the last stage entered: where it failed, if it did
	Err     error          // the failure in words, with what it suggests; nil if Outcome is Passed
	Address netip.AddrPort // the address that decided; zero if none was tried
	Start   time.Time      // when the probe began
	RTT     time.Duration  // from Start to the answer, or to the failure
	Syntax  string         // the transfer syntax the host chose, NDR32 or NDR64; empty unless a bind was accepted
}

// String is the result in words: "passed in 1.2ms (192.0.2.10:1688)" or "bind: ...".
func (r Result) String() string {
	if r.Err == nil {
		return fmt.Sprintf("%s in %s (%s)", r.Outcome, r.RTT.Round(10*time.Microsecond), r.Address)
	}
	return fmt.Sprintf("%s: %v", r.Stage, r.Err)
}

// MarshalJSON gives the result the shape that programs read: times in RFC 3339, durations in seconds.
func (r Result) MarshalJSON() ([]byte, error) {
	out := struct {
		Outcome string    `json:"outcome"`
		Stage   string    `json:"stage"`
		Error   string    `json:"error,omitempty"`
		Address string    `json:"address,omitempty"`
		Start   time.Time `json:"start"`
		RTT     float64   `json:"rtt_seconds"`
		Syntax  string    `json:"syntax,omitempty"`
	}{Outcome: r.Outcome.String(), Stage: r.Stage.String(), Start: r.Start, RTT: r.RTT.Seconds(), Syntax: r.Syntax}
	if r.Err != nil {
		out.Error = r.Err.Error()
	}
	if r.Address.IsValid() {
		out.Address = r.Address.String()
	}
	return json.Marshal(out)
}
