// Package config holds what a kms block of a Corefile says, as plain values: the structs, their defaults (Default) and what
// is allowed (the Validate methods). It reads no file and knows neither CoreDNS nor the network.
package config

import (
	"fmt"
	"time"
)

// Bounds of the settings; Validate enforces them.
const (
	MaxHosts = 256             // hosts in one block; a KMS host key allows six machines, so this is generous
	MinTTL   = time.Second     // a TTL of 0 would switch off every cache between us and ten thousand clients
	MaxTTL   = 5 * time.Minute // a dead host lives on in resolvers for this long after we dropped it
)

// Block is one kms block: which zones it answers, from which hosts, and how it judges them.
type Block struct {
	Zones     []string      // absolute, lower-case; the block owns _vlmcs._tcp.<zone> of each
	Hosts     []Host        // in the order of the Corefile; at least one, unless hosts may announce themselves
	TTL       time.Duration // of SRV and address records while all is calm; MinTTL to MaxTTL, whole seconds
	Probe     Probe
	AllDown   AllDown
	Responder *Responder // nil: none
	Rehearse  []Rehearse // rehearsal hosts to run
	Update    *Update    // who may announce hosts; nil: nobody, and nothing is listened for
	NS        []string   // this server and its secondaries, absolute, lower-case, the primary (MNAME) first; none: _vlmcs._tcp.<zone> is no zone of its own
	Store     string     // path of the file that keeps what must survive a restart; empty: memory alone
	Control   string     // path of the Unix socket for commands; empty: none
	Status    *Status    // the status page; nil: none
}

// Default is a block that says nothing: every default of the plugin stands here and nowhere else.
func Default() Block {
	return Block{
		TTL: 30 * time.Second,
		Probe: Probe{
			Kind:     ProbeRPC,
			Interval: 10 * time.Second,
			Timeout:  2 * time.Second,
			Rise:     2,
			Fall:     3,
		},
		AllDown: Serve,
	}
}

// Validate reports the first thing in b that cannot work, in words that say what would.
func (b Block) Validate() error {
	if err := b.validateHosts(); err != nil {
		return err
	}
	if err := ValidateTTL(b.TTL); err != nil {
		return err
	}
	if b.Responder != nil {
		if err := b.Responder.Validate(); err != nil {
			return fmt.Errorf("responder: %w", err)
		}
		for _, h := range b.Hosts {
			if err := b.Responder.apart(h); err != nil {
				return err
			}
		}
	}
	for _, r := range b.Rehearse {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	if b.Update != nil {
		if err := b.Update.Validate(); err != nil {
			return fmt.Errorf("update: %w", err)
		}
	}
	if err := b.validateZones(); err != nil {
		return err
	}
	if err := b.validatePaths(); err != nil {
		return err
	}
	if b.Status != nil {
		if err := b.Status.Validate(); err != nil {
			return err
		}
	}
	return b.Probe.Validate()
}

// validateHosts checks the hosts that b names. It need not name any if hosts may announce themselves.
func (b Block) validateHosts() error {
	switch {
	case len(b.Hosts) == 0 && b.Update == nil:
		return fmt.Errorf("no KMS host: name at least one, as in \"host kms1.example.org\"")
	case len(b.Hosts) == 0 && b.Update.Observe:
		return fmt.Errorf("no KMS host, and observe lets none announce itself: name at least one, as in \"host kms1.example.org\"")
	case len(b.Hosts) > MaxHosts:
		return fmt.Errorf("%d hosts in one block: at most %d", len(b.Hosts), MaxHosts)
	}
	for i, h := range b.Hosts {
		if err := h.Validate(); err != nil {
			return err
		}
		for _, earlier := range b.Hosts[:i] {
			if h.Endpoint() == earlier.Endpoint() {
				return fmt.Errorf("duplicate host %q: each host and port stands once", h.Endpoint())
			}
		}
	}
	return nil
}

// ValidateTTL says whether d may be the TTL of answers.
func ValidateTTL(d time.Duration) error {
	if d < MinTTL || d > MaxTTL || d%time.Second != 0 {
		return fmt.Errorf("ttl %s: whole seconds from %s to %s", d, MinTTL, MaxTTL)
	}
	return nil
}

// AllDown is what to answer when every host that is not drained is down.
type AllDown uint8

const (
	Serve    AllDown = iota // the first tier as configured: a wrong host costs a client one connect, no answer costs it two hours
	NoData                  // an empty answer
	ServFail                // SERVFAIL
)

var allDownWords = [...]string{Serve: "serve", NoData: "nodata", ServFail: "servfail"}

func (a AllDown) String() string { return word(allDownWords[:], a) }

// ParseAllDown reads the word of a Corefile.
func ParseAllDown(s string) (AllDown, error) {
	return parseWord[AllDown]("all_down", allDownWords[:], s)
}
