package status

import (
	"net/netip"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
)

const day = 24 * time.Hour

// Clients implements Source.
func (l *Live) Clients(q ClientQuery) Clients {
	m := l.moment()
	out := Clients{Version: Version, At: m.now, Offset: q.Offset, Clients: []Client{}}
	if m.book == nil {
		return out
	}
	want := ledger.Query{Unserved: q.Unserved, Match: search(q.Search), Offset: q.Offset, Limit: min(q.Limit, MaxRows)}
	if want.Limit <= 0 {
		want.Limit = DefaultRows
	}
	if q.SilentDays > 0 {
		want.Until = m.now.Add(-time.Duration(q.SilentDays) * day)
	}
	page, total := m.book.Select(want)
	out.Total = total
	for _, e := range page {
		out.Clients = append(out.Clients, m.client(e))
	}
	return out
}

// client is e as it is shown.
func (m *moment) client(e ledger.Entry) Client {
	out := Client{
		ID: clientID(e.Client), CMID: cmid(e.Client), Machine: kmswire.Printable(e.Machine), Address: addressText(e.From),
		Version: line(e.Version), First: e.First, Last: e.Last, Served: e.Served, Host: line(e.Host), Result: line(e.Result),
		Calls: e.Calls, Silent: max(m.now.Sub(e.Last), 0).Hours() / 24,
	}
	return out
}

// clientID is what a person calls c by.
func clientID(c ledger.Client) string {
	if c.Address.IsValid() {
		return c.Address.String()
	}
	return cmid(c)
}

// cmid is the machine id of c as Windows writes it, empty if it cannot be seen.
func cmid(c ledger.Client) string {
	if c.Address.IsValid() {
		return ""
	}
	return kmswire.GUID(c.CMID).String()
}

// addressText is a as text, empty if there is none.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// plainAddress is a without what a socket adds to it: IPv4 as IPv4, and an IPv6 address without its zone.
func plainAddress(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// search is whom a person means by text: a network, or part of what stands in a row; nil for everybody.
func search(text string) func(ledger.Client, netip.Addr, string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	if text == "" {
		return nil
	}
	// A prefix contains no address with a zone, which is this machine's own word for one of its interfaces.
	if network, err := netip.ParsePrefix(text); err == nil {
		return func(_ ledger.Client, from netip.Addr, _ string) bool { return network.Contains(plainAddress(from)) }
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return func(_ ledger.Client, from netip.Addr, _ string) bool { return plainAddress(from) == plainAddress(a) }
	}
	return func(c ledger.Client, from netip.Addr, machine string) bool {
		return strings.Contains(strings.ToLower(machine), text) || strings.Contains(cmid(c), text) || strings.Contains(addressText(from), text)
	}
}
