package status

import (
	"errors"
	"net/url"
	"strconv"
)

// ErrUnknownClient says that nothing is known of a client: it never called here, and its address never asked.
var ErrUnknownClient = errors.New("nothing is known of that client: no call of it was taken by the responder, and nobody asked DNS from that address lately")

// Source is where what is shown comes from. Its methods may be called by any number of goroutines at once, and each makes
// what it returns anew: callers may change it.
type Source interface {
	Report() Report
	Clients(ClientQuery) Clients
	Why(client string) (Why, error) // an error says what a client is, or that nobody knows this one: ErrUnknownClient
}

// ClientQuery is which clients of the ledger are wanted. The zero value is all of them, as many as fit one page.
type ClientQuery struct {
	Search     string // part of a machine's name, an address, a network or a CMID, in any case; at most MaxSearch octets
	SilentDays int    // only clients that did not call for so many days or more
	Unserved   bool   // only clients that no host ever took a request of
	Offset     int    // of the first row; those that called longest ago come first
	Limit      int    // rows, 1 to MaxRows; DefaultRows if 0
}

// Bounds of a ClientQuery.
const (
	MaxSearch   = 128
	MaxSilent   = 3650 // days
	DefaultRows = 100
	MaxRows     = 100_000 // all that a ledger has: what a CSV export takes
)

// Values is q as the query of a URL, without what is not set.
func (q ClientQuery) Values() url.Values {
	v := make(url.Values)
	set := func(name, value string, is bool) {
		if is {
			v.Set(name, value)
		}
	}
	set("search", q.Search, q.Search != "")
	set("silent", strconv.Itoa(q.SilentDays), q.SilentDays != 0)
	set("unserved", "true", q.Unserved)
	set("offset", strconv.Itoa(q.Offset), q.Offset != 0)
	set("limit", strconv.Itoa(q.Limit), q.Limit != 0)
	return v
}
