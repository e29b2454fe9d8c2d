package plugin

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coredns-kms/coredns-kms/internal/registry"

	"github.com/miekg/dns"
)

const (
	maxLines     = 10  // of the log in a second
	maxMentioned = 4   // records of one UPDATE in its line
	maxKept      = 16  // and among the attempts that are kept
	maxDescribed = 200 // octets of one record in either
)

// report tells the operator what became of u: in a line of the log, a counter, and the attempts that the registry keeps.
func (s *updates) report(u *update, end *refusal) {
	zone, now := "other", time.Now()
	if u.site != nil {
		zone = u.around
	}
	updatesTotal.WithLabelValues(zone, end.result.String()).Inc()
	what := u.describe(maxMentioned)
	if u.site != nil && u.site.Registry != nil && end.result != updateNotAuth {
		u.site.Registry.Tried(registry.Attempt{At: now, From: u.from, Key: u.key, Zone: u.zone, What: strings.Join(what, ", "),
			Records: u.describe(maxKept), Accepted: end.rcode == dns.RcodeSuccess, Reason: end.why})
	}
	ok, more := s.lines.next(now)
	if !ok {
		return
	}
	who := u.from.Addr().String()
	if u.key != "" {
		who += " with key " + u.key
	}
	line := fmt.Sprintf("update of %s from %s: %s: %s", u.zone, who, strings.Join(what, ", "), dns.RcodeToString[end.rcode])
	if end.why != "" {
		line += ": " + end.why
	}
	if more > 0 {
		line += fmt.Sprintf(" (and %d lines like this were left out)", more)
	}
	switch {
	case end.rcode == dns.RcodeSuccess:
		log.Info(printable(line))
	case end.result == updateFailed:
		log.Error(printable(line))
	default:
		log.Warning(printable(line))
	}
}

// describe is the first n changes in words.
func (u *update) describe(n int) []string {
	var words []string
	for _, rr := range u.changes[:min(n, len(u.changes))] {
		verb := "delete "
		if rr.Header().Class == dns.ClassINET {
			verb = "add "
		}
		words = append(words, verb+describe(rr))
	}
	switch more := len(u.changes) - len(words); {
	case more > 0:
		words = append(words, fmt.Sprintf("%d more", more))
	case len(words) == 0:
		words = []string{"nothing"}
	}
	return words
}

// describe is a record of an UPDATE in words, whoever wrote it: "_vlmcs._tcp.example.org. SRV 0 0 1688 kms1.example.org.".
func describe(rr dns.RR) string {
	h := rr.Header()
	words := h.Name + " " + dns.Type(h.Rrtype).String()
	if h.Rdlength > 0 {
		words += " " + strings.TrimPrefix(rr.String(), h.String())
	}
	if len(words) > maxDescribed {
		words = words[:maxDescribed] + "..."
	}
	return printable(words)
}

// printable is s without what could break out of a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// lineLimiter lets through so many lines in a second, and counts the others. Its zero value is ready.
type lineLimiter struct {
	mu     sync.Mutex
	second time.Time // the one that is counted
	lines  int
	left   int // out since the last line
}

// next is whether a line may be written now, and how many were left out before it.
func (l *lineLimiter) next(now time.Time) (ok bool, leftOut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.second) >= time.Second || now.Before(l.second) {
		l.second, l.lines = now, 0
	}
	if l.lines >= maxLines {
		l.left++
		return false, 0
	}
	l.lines++
	leftOut, l.left = l.left, 0
	return true, leftOut
}
