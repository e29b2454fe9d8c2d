package status

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// site is a Site that shows e, and fails the test if something goes wrong on its side.
func site(t testing.TB, s Source) *Site {
	site := &Site{Source: s, Log: func(line string) { t.Error(line) }}
	site.Called([]string{"KMS.example.org."})
	return site
}

// ask sends one request to h, changed by how.
func ask(h http.Handler, target string, how ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://192.0.2.1:8080/", nil)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	for _, f := range how {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// problem is the Problem that w has; the test fails if it has none.
func problem(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Version != Version || p.Error == "" {
		t.Errorf("%d, %s is no Problem: %v", w.Code, w.Body, err)
	}
	return p.Error
}

// everything is every path there is.
var everything = []string{
	"/", "/hosts", "/clients", "/announcements", "/why", "/why?client=PC-1000", "/codes", "/codes?code=0xC004F074", "/clients.csv",
	"/v1/status", "/v1/clients", "/v1/why?client=PC-1000", "/style.css", "/live.js", "/ok.svg", "/warning.svg", "/critical.svg",
}

func TestHeaders(t *testing.T) {
	h := site(t, estate{at: noon, small: true}).Handler()
	for _, path := range append(everything, "/nothing", "/hosts?x=1", "/v1/nothing", "/why?client=nobody") {
		w := ask(h, path)
		got := w.Header()
		for name, want := range map[string]string{
			"Content-Security-Policy":      policy,
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got.Get(name) != want {
				t.Errorf("%s has %s: %q, want %q", path, name, got.Get(name), want)
			}
		}
		cache := "no-store"
		if strings.HasSuffix(path, ".svg") || path == "/style.css" || path == "/live.js" {
			cache = "no-cache"
		}
		if got.Get("Cache-Control") != cache {
			t.Errorf("%s has Cache-Control: %q, want %q", path, got.Get("Cache-Control"), cache)
		}
		if got.Get("Content-Type") == "" {
			t.Errorf("%s has no Content-Type", path)
		}
	}
	for _, weak := range []string{"unsafe", "*", "http:", "data:"} {
		if strings.Contains(policy, weak) {
			t.Errorf("The Content-Security-Policy has %s in it: %s", weak, policy)
		}
	}
}

func TestAssetsAreKept(t *testing.T) {
	h := site(t, estate{at: noon, small: true}).Handler()
	tag := ask(h, "/style.css").Header().Get("ETag")
	if w := ask(h, "/style.css", header("If-None-Match", tag)); tag == "" || w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("%d with %d octets for who has %q already", w.Code, w.Body.Len(), tag)
	}
}

// TestReadOnly: whatever the path, nothing but GET and HEAD is taken; and HEAD is GET without a body.
func TestReadOnly(t *testing.T) {
	s := site(t, estate{at: noon, small: true})
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "get"} {
		for _, path := range append(everything, "/nothing") {
			w := ask(s.Handler(), path, func(r *http.Request) { r.Method = method })
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
	if w := ask(s.API(), "/v1/status", func(r *http.Request) { r.Method = "POST" }); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("The API alone answers POST with %d", w.Code)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	for _, path := range everything {
		r, err := http.Head(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: %s", path, r.Status)
		}
	}
}

// TestNames: the page of another site cannot have its own name resolve to this server, and read what is here.
func TestNames(t *testing.T) {
	h := site(t, estate{at: noon, silent: true}).Handler()
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"192.0.2.1": 200, "192.0.2.1:8080": 200, "[2001:db8::1]": 200, "[2001:db8::1]:8080": 200, "[fe80::1%25eth0]:80": 200,
		"localhost": 200, "LOCALHOST:8080": 200, "localhost.": 200, "kms.example.org": 200, "KMS.Example.org.:8080": 200,
		machine: 200, machine + ":8080": 200,
		"": 421, ":8080": 421, "evil.example.net": 421, "kms.example.org.evil.example.net": 421, "localhost.evil.example.net:8080": 421,
		"192.0.2.1.evil.example.net": 421, "xkms.example.org": 421, "[::1": 421, "3221225985": 421,
	} {
		for _, path := range []string{"/", "/v1/status", "/clients.csv", "/style.css"} {
			w := ask(h, path, func(r *http.Request) { r.Host = host })
			if w.Code != want {
				t.Errorf("%s of host %q: %d, want %d", path, host, w.Code, want)
			}
			if text := w.Body.String(); w.Code == 421 && (!strings.Contains(text, "status ADDRESS NAME") || strings.Contains(text, "dns1")) {
				t.Errorf("Host %q is told %q", host, text)
			}
		}
	}
	if w := ask(site(t, estate{at: noon}).API(), "/v1/status", func(r *http.Request) { r.Host = "kms" }); w.Code != 200 {
		t.Errorf("At the control socket, which has no name: %d", w.Code)
	}
}

// TestForeignPages may link to what is here, and may not embed or fetch it.
func TestForeignPages(t *testing.T) {
	h := site(t, estate{at: noon, silent: true}).Handler()
	for _, tt := range []struct {
		site, mode, dest string
		want             int
	}{
		{"", "", "", 200}, {"same-origin", "cors", "empty", 200}, {"none", "navigate", "document", 200},
		{"cross-site", "navigate", "document", 200}, {"same-site", "navigate", "document", 200},
		{"cross-site", "no-cors", "image", 403}, {"cross-site", "cors", "empty", 403}, {"cross-site", "navigate", "iframe", 403},
		{"same-site", "no-cors", "script", 403}, {"cross-site", "", "", 403},
	} {
		for _, path := range []string{"/", "/v1/status", "/v1/clients", "/clients.csv"} {
			w := ask(h, path, header("Sec-Fetch-Site", tt.site), header("Sec-Fetch-Mode", tt.mode), header("Sec-Fetch-Dest", tt.dest))
			if w.Code != tt.want {
				t.Errorf("%s for %+v: %d", path, tt, w.Code)
			}
		}
	}
}

// counting is a Source that counts who asks.
type counting struct {
	estate
	reports, searches, most atomic.Int64
	slowReport, slowSearch  time.Duration
}

func (c *counting) Report() Report {
	c.reports.Add(1)
	time.Sleep(c.slowReport)
	return c.estate.Report()
}

func (c *counting) Clients(q ClientQuery) Clients {
	n := c.searches.Add(1)
	defer c.searches.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	time.Sleep(c.slowSearch)
	return c.estate.Clients(q)
}

// TestReportIsShared: many open pages cost as much as one.
func TestReportIsShared(t *testing.T) {
	source := &counting{estate: estate{at: noon, silent: true}, slowReport: 50 * time.Millisecond}
	s := site(t, source)
	h := s.Handler()
	var asking sync.WaitGroup
	for i := range 200 {
		asking.Go(func() { ask(h, []string{"/", "/hosts", "/v1/status"}[i%3]) })
	}
	asking.Wait()
	if n := source.reports.Load(); n != 1 {
		t.Errorf("200 requests at once made %d reports", n)
	}
	s.last.made = s.last.made.Add(-fresh)
	ask(h, "/v1/status")
	if n := source.reports.Load(); n != 2 {
		t.Errorf("A second later there are %d reports", n)
	}
}

// TestSearchesAreBounded: the ledger is looked through by a few at once, others wait, and who would wait too long is told.
func TestSearchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &counting{estate: estate{at: noon, silent: true}, slowSearch: 2 * time.Second}
		h := site(t, source).Handler()
		var asking sync.WaitGroup
		var ok, busy atomic.Int64
		for i := range 20 {
			asking.Go(func() {
				w := ask(h, []string{"/clients", "/v1/clients"}[i%2])
				switch w.Code {
				case 200:
					ok.Add(1)
				case 503:
					busy.Add(1)
					if w.Header().Get("Retry-After") == "" {
						t.Error("Who is told to come again is not told when")
					}
				default:
					t.Errorf("%d", w.Code)
				}
			})
		}
		asking.Wait()
		if source.most.Load() != maxSearches || ok.Load() == 0 || busy.Load() == 0 {
			t.Errorf("%d at once, %d answered, %d told to come again", source.most.Load(), ok.Load(), busy.Load())
		}
	})
}

// TestConnectionsAreBounded: who takes all places and says nothing is shown out, and others wait for no longer than that.
func TestConnectionsAreBounded(t *testing.T) {
	const patience = 200 * time.Millisecond
	s := site(t, estate{at: noon, silent: true})
	s.patience = patience
	address, _ := serve(t, s)
	start := time.Now()
	for i := range maxConnections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ") // and never the rest
		}
	}
	r, err := http.Get("http://" + address + "/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if took := time.Since(start); r.StatusCode != 200 || took < patience {
		t.Errorf("%s after %s, though all places were taken for %s", r.Status, took, patience)
	}
}

// serve has s serve until the end of the test, or until it is told to end, which returns when it has ended.
func serve(t *testing.T, s *Site) (address string, end func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	end = func() { cancel(); serving.Wait() }
	t.Cleanup(end)
	return ln.Addr().String(), end
}

// TestEnd: requests under way are answered, and clients that say nothing do not keep the process from ending.
func TestEnd(t *testing.T) {
	source := &counting{estate: estate{at: noon, silent: true}, slowReport: 300 * time.Millisecond}
	address, end := serve(t, site(t, source))
	for range 3 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\n")
	}
	answered := make(chan error, 1)
	go func() {
		r, err := http.Get("http://" + address + "/v1/status")
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		answered <- err
	}()
	for deadline := time.Now().Add(5 * time.Second); source.reports.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("The request did not arrive")
		}
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	end()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("It took %s to end", took)
	}
	if err := <-answered; err != nil {
		t.Errorf("A request under way: %v", err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("Somebody still listens")
	}
}

func TestHugeHeader(t *testing.T) {
	address, _ := serve(t, site(t, estate{at: noon, silent: true}))
	r, err := http.Get("http://" + address + "/?x=" + strings.Repeat("x", 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("A request line of 64 KiB: %s", r.Status)
	}
}
