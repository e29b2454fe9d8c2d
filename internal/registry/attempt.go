package registry

import (
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxAttempts = 256
	maxRecords  = 16
	maxText     = 255 // octets of one string
)

// Attempt is an UPDATE that came, accepted or not. Its strings are what a client sent: escape them before showing them.
type Attempt struct {
	At        time.Time
	From      netip.AddrPort
	Key, Zone string
	What      string
	Records   []string
	Accepted  bool
	Reason    string
}

// Tried remembers a among the last 256, with at most 16 records and 255 octets of each string.
func (r *Registry) Tried(a Attempt) {
	a.Key, a.Zone, a.What, a.Reason = cut(a.Key), cut(a.Zone), cut(a.What), cut(a.Reason)
	a.Records = slices.Clone(a.Records[:min(len(a.Records), maxRecords)])
	for i := range a.Records {
		a.Records[i] = cut(a.Records[i])
	}
	r.attemptMu.Lock()
	defer r.attemptMu.Unlock()
	if len(r.attempts) < maxAttempts {
		r.attempts = append(r.attempts, a)
		return
	}
	r.attempts[r.oldest] = a
	r.oldest = (r.oldest + 1) % maxAttempts
}

// Attempts is the last 256, newest first.
func (r *Registry) Attempts() []Attempt {
	r.attemptMu.Lock()
	defer r.attemptMu.Unlock()
	all := append(slices.Clone(r.attempts[r.oldest:]), r.attempts[:r.oldest]...)
	slices.Reverse(all)
	return all
}

// cut is s, or as much of it as may be kept: a copy, since a part would keep the whole alive.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.Clone(s[:end])
}
