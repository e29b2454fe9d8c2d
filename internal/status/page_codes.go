package status

import (
	"net/http"
	"net/url"

	"github.com/coredns-kms/coredns-kms/internal/explain"
)

// maxCode is the octets of a code that somebody asks about.
const maxCode = 100

// codesBody is what the page of codes shows: one, or a list of all.
type codesBody struct {
	Code    string // as it was asked for
	Asked   bool
	Unknown string // why there is no Entry
	Entry   *explain.Entry
	All     []codeLink
}

type codeLink struct{ Code, Title, Link string }

// codes is GET /codes.
func (s *Site) codes(w http.ResponseWriter, r *http.Request) {
	q := parseQuery(r, "code")
	code := q.text("code", maxCode)
	if q.err != nil {
		s.refusePage(w, http.StatusBadRequest, q.err)
		return
	}
	b := codesBody{Code: code, Asked: code != ""}
	title, status := "Codes", http.StatusOK
	if b.Asked {
		title = limited(code, 60)
		if e, err := explain.Lookup(code); err != nil {
			b.Unknown, status = printable(err.Error()), http.StatusNotFound
		} else {
			b.Entry = &e
		}
	} else {
		for _, e := range explain.Entries() {
			b.All = append(b.All, codeLink{e.Code, e.Title, codeURL(e)})
		}
	}
	s.show(w, status, "codes", page{Report: s.report(), Title: title, Here: "/codes", Body: b})
}

// codeURL is where the page about e is. One number may be several things: then the kind says which, or a name.
func codeURL(e explain.Entry) string {
	for _, text := range append([]string{e.Code, string(e.Kind) + " " + e.Code}, e.Names...) {
		if found, err := explain.Lookup(text); err == nil && found.Kind == e.Kind && found.Code == e.Code {
			return "/codes?" + url.Values{"code": {text}}.Encode()
		}
	}
	return "/codes"
}
