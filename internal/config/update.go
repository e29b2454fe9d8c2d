package config

import (
	"net/netip"
	"time"
)

// Update is who may announce KMS hosts by RFC 2136, and what becomes of them.
type Update struct {
	Allow   []netip.Prefix // unsigned updates from these, each of a host for itself only
	Keys    []UpdateKey
	Lease   time.Duration // how long a host stays that was announced and never passed a probe; 1 h to 90 days
	Max     int           // announced hosts at once; 1 to MaxHosts
	Observe bool          // refuse everybody, and record who tried
}

// UpdateKey is a TSIG key of the tsig plugin and what it may change.
type UpdateKey struct {
	Name    string         // absolute, lower-case
	From    []netip.Prefix // and only from these; none: from anywhere
	Targets []string       // patterns of targets, absolute and lower-case, in which a leading "*." is any label or labels; none: any target
}

// DefaultUpdate is an update block that says nothing.
func DefaultUpdate() Update {
	return Update{Lease: 7 * 24 * time.Hour, Max: 16}
}
