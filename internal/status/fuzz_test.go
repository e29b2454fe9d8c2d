package status

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzRequest: whatever path and query somebody asks for, the answer is a page, a Problem or what was asked for.
func FuzzRequest(f *testing.F) {
	for _, target := range append(append([]string{"/nothing"}, pages...), everything...) {
		path, query, _ := strings.Cut(target, "?")
		f.Add(path, query)
	}
	f.Add("//example.net/", "")
	f.Add("/v1/../hosts", "offset=%31")
	f.Add("/why", "client=\xff")
	h := site(f, estate{at: noon, hostile: careless, small: true}).Handler()
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest(http.MethodGet, "http://192.0.2.1/", nil)
		r.URL.Path, r.URL.RawQuery = "/"+strings.TrimPrefix(path, "/"), query
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%q?%q: %d, %s", path, query, w.Code, w.Body)
		}
		if to := w.Header().Get("Location"); strings.HasPrefix(to, "//") || strings.Contains(to, "://") {
			t.Errorf("%q leads to %q", path, to)
		}
		if body := w.Body.String(); !utf8.ValidString(body) || strings.ContainsAny(body, "\x00\x1b\u202e") || strings.Contains(body,
			"<script>") && r.URL.Path != "/clients.csv" {
			t.Errorf("%q?%q came back as it was", path, query)
		}
	})
}
