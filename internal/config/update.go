package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds of an update block; Validate enforces them.
const (
	MinLease = time.Hour
	MaxLease = 90 * 24 * time.Hour
)

// Update is who may announce KMS hosts by RFC 2136, and what becomes of them.
type Update struct {
	Allow   []netip.Prefix // unsigned updates from these, each of a host for itself only
	Targets []string       // patterns of the hosts that may do so, as UpdateKey.Targets; none: any
	Ports   []uint16       // that may be announced, by anybody; none: any but 0
	Keys    []UpdateKey
	Lease   time.Duration // how long a host stays that was announced and never passed a probe; MinLease to MaxLease
	Max     int           // announced hosts at once; 1 to MaxHosts
	Observe bool          // refuse everybody, whatever Allow and Keys say, and record who tried
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

// Validate reports what is wrong with u, in words that say what would be right.
func (u Update) Validate() error {
	if len(u.Allow) == 0 && len(u.Keys) == 0 && !u.Observe {
		return fmt.Errorf("nobody could announce a host: say who may with \"allow 192.0.2.0/24\" or \"key NAME\", " +
			"or only watch who tries with \"observe\"")
	}
	if err := validatePatterns("allow", u.Targets); err != nil {
		return Misplaced{"update allow", err}
	}
	for i, port := range u.Ports {
		if port == 0 || slices.Contains(u.Ports[:i], port) {
			return misplaced("update port", "port %d: ports from 1 to 65535, each once", port)
		}
	}
	for i, k := range u.Keys {
		if err := k.Validate(); err != nil {
			return Misplaced{"update key " + k.Name, err}
		}
		for _, earlier := range u.Keys[:i] {
			if k.Name == earlier.Name {
				return misplaced("update key "+k.Name, "key %s twice: put its networks and targets into one line", k.Name)
			}
		}
	}
	switch {
	case u.Lease < MinLease || u.Lease > MaxLease:
		return misplaced("update lease", "lease %s: from %dh to %dh", u.Lease, MinLease/time.Hour, MaxLease/time.Hour)
	case u.Max < 1 || u.Max > MaxHosts:
		return misplaced("update max", "max %d: from 1 to %d announced hosts", u.Max, MaxHosts)
	}
	return nil
}

// Validate reports what is wrong with k, in words that say what would be right.
func (k UpdateKey) Validate() error {
	if len(k.Name) < 2 || len(k.Name) > 4*254 || !strings.HasSuffix(k.Name, ".") || k.Name != strings.ToLower(k.Name) {
		return fmt.Errorf("key %q: the name of a TSIG key, as in kms-update.example.org", k.Name)
	}
	return validatePatterns("key "+k.Name, k.Targets)
}

// validatePatterns says what is wrong with the targets of of.
func validatePatterns(of string, targets []string) error {
	for i, t := range targets {
		if err := validatePattern(t); err != nil {
			return fmt.Errorf("%s: %w", of, err)
		}
		if slices.Contains(targets[:i], t) {
			return fmt.Errorf("%s: target %s twice", of, t)
		}
	}
	return nil
}

// validatePattern says whether p is a host name, or "*." and a domain. The domain may be of one label: there are networks
// that live in one.
func validatePattern(p string) error {
	domain, wild := strings.CutPrefix(p, "*.")
	if !wild {
		return ValidateHostName(p)
	}
	text := strings.TrimSuffix(domain, ".")
	if len(text) > 251 {
		return fmt.Errorf("target %q: %d octets behind the asterisk, at most 251", p, len(text))
	}
	for _, l := range strings.Split(text, ".") {
		if !isHostLabel(l) {
			return fmt.Errorf("target %q: a host name, or *. and a domain, as in *.example.org; without target it is any host", p)
		}
	}
	return nil
}
