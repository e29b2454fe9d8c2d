package status

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is asked.
const (
	maxQuery  = 2048  // octets behind the question mark
	maxClient = 300   // octets
	maxName   = 300   // octets, of a pool or an endpoint
	pageHosts = 24    // on one page
	pageRows  = 1_000 // of clients, at most, on one page
)

// query is what stands behind the question mark, and what is wrong with it.
type query struct {
	values url.Values
	err    error
}

// parseQuery takes the query of r, in which nothing but known may stand, each once. What is not understood may have been meant.
func parseQuery(r *http.Request, known ...string) query {
	text := r.URL.RawQuery
	if len(text) > maxQuery {
		return query{err: fmt.Errorf("a query of %d octets: at most %d are taken", len(text), maxQuery)}
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return query{err: errors.New("the query cannot be read: it is NAME=VALUE, with & between, and %XX for what is special")}
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names) // so that the same query is told the same
	for _, name := range names {
		switch {
		case len(known) == 0:
			return query{err: fmt.Errorf("unknown parameter %q: there are none here", limited(name, 40))}
		case !slices.Contains(known, name):
			return query{err: fmt.Errorf("unknown parameter %q: there are %s", limited(name, 40), strings.Join(known, ", "))}
		case len(values[name]) > 1:
			return query{err: fmt.Errorf("%s stands %d times: once is right", name, len(values[name]))}
		}
	}
	return query{values: values}
}

// fail keeps the first that is wrong.
func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = fmt.Errorf(format, args...)
	}
}

// text is the parameter name, of at most limit octets. What has no picture is refused: it comes back in the page, where a mark
// that turns the line around would act, and names are shown without it, so that nobody can mean it.
func (q *query) text(name string, limit int) string {
	v := strings.TrimSpace(q.values.Get(name))
	switch {
	case len(v) > limit:
		q.fail("%s has %d octets: at most %d are taken", name, len(v), limit)
	case !utf8.ValidString(v):
		q.fail("%s is not UTF-8", name)
	case strings.ContainsFunc(v, unicode.IsControl):
		q.fail("%s has control characters in it", name)
	case printable(v) != v:
		q.fail("%s has characters in it that nobody can see", name)
	default:
		return v
	}
	return ""
}

// number is the parameter name, from low to high; 0 if it is not there. Forms send fields that nobody filled in as empty.
func (q *query) number(name string, low, high int) int {
	v := q.values.Get(name)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high || strconv.Itoa(n) != v {
		q.fail("%s=%s: a number from %d to %d is right", name, limited(v, 40), low, high)
		return 0
	}
	return n
}

// is is the parameter name, which is true or false.
func (q *query) is(name string) bool {
	switch v := q.values.Get(name); v {
	case "true":
		return true
	case "", "false":
	default:
		q.fail("%s=%s: true or false is right", name, limited(v, 40))
	}
	return false
}

// parseClients is the query of /v1/clients, /clients and /clients.csv, for at most rows rows.
func parseClients(r *http.Request, rows int) (ClientQuery, error) {
	q := parseQuery(r, "search", "silent", "unserved", "offset", "limit")
	out := ClientQuery{
		Search:     q.text("search", MaxSearch),
		SilentDays: q.number("silent", 0, MaxSilent),
		Unserved:   q.is("unserved"),
		Offset:     q.number("offset", 0, MaxRows),
		Limit:      q.number("limit", 1, rows),
	}
	return out, q.err
}

// limited is s in at most n octets, without what a terminal or a browser would act upon.
func limited(s string, n int) string {
	s = printable(s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
