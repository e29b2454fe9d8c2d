package status

import (
	"net/url"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/explain"
)

// TestCodeURLs: each code of the list leads to itself, and not to something else that has its number.
func TestCodeURLs(t *testing.T) {
	for _, e := range explain.Entries() {
		text := codeURL(e)
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		found, err := explain.Lookup(u.Query().Get("code"))
		if err != nil || found.Kind != e.Kind || found.Code != e.Code {
			t.Errorf("%s %s leads to %s: %s %s, %v", e.Kind, e.Code, text, found.Kind, found.Code, err)
		}
	}
	if got := codeURL(explain.Entry{Code: "nothing", Kind: explain.KindEvent}); got != "/codes" {
		t.Errorf("What is not known leads to %s", got)
	}
}
