package status

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// raw sends octets to the server at address as they are, with nothing behind them, and returns what it answers until it
// closes: one status for each answer, and all of the text. A server that keeps the connection open is at fault.
func raw(t *testing.T, address, request string) (statuses []int, text string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, request); err != nil && !hungUp(err) {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	all, err := io.ReadAll(c)
	if err != nil && !hungUp(err) {
		t.Fatalf("%.80q: %v after %q", request, err, all)
	}
	method, _, _ := strings.Cut(request, " ")
	for r := bufio.NewReader(bytes.NewReader(all)); ; {
		answer, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return statuses, string(all)
		}
		statuses = append(statuses, answer.StatusCode)
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

// hungUp is whether the other side closed before it had read everything.
func hungUp(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Fields of most requests here.
const (
	ours = "Host: 127.0.0.1"
	last = "Connection: close"
)

// lines is a request with its last empty line.
func lines(all ...string) string { return strings.Join(all, "\r\n") + "\r\n\r\n" }

// secrets are what no answer to a stranger has in it: a host, a client, the file that everybody tries to read, a template.
var secrets = []string{"dns1", "192.0.2.10", "PC-1000", "root:", "{{"}

// TestTraversal: there is no file behind any path, however it is written, and nobody is sent elsewhere.
func TestTraversal(t *testing.T) {
	address, _ := serve(t, site(t, estate{at: noon, small: true}))
	for target, want := range map[string]int{
		"/../etc/passwd":                      404,
		"/../../../../etc/passwd":             404,
		"/style.css/../../page.go":            404,
		"/./":                                 404,
		"/%2e%2e/%2e%2e/etc/passwd":           404,
		"/%2E%2E%2Fetc%2Fpasswd":              404,
		"/..%2f..%2fetc/passwd":               404,
		"/%252e%252e/etc/passwd":              404,
		"/..%5c..%5cetc%5cpasswd":             404,
		`/..\..\etc\passwd`:                   404,
		"/%c0%ae%c0%ae/etc/passwd":            404, // overlong UTF-8
		"/page/layout.html":                   404,
		"/page/":                              404,
		"/style.css/":                         404,
		"/style.css%00.html":                  404,
		"/hosts/..":                           404,
		"/v1/../hosts":                        404,
		"/v1/%2e%2e/hosts":                    404,
		"/v1/status/../../../etc/passwd":      404,
		"//":                                  404,
		"//hosts":                             404,
		"//evil.example.net/":                 404,
		"//evil.example.net/%2e%2e":           404,
		"/%2f%2fevil.example.net":             404,
		"/\\evil.example.net":                 404,
		"/hosts//":                            404,
		"/%zz":                                400,
		"/hosts#..":                           404, // a fragment is the browser's own
		"/.well-known/security.txt":           404,
		"/.git/config":                        404,
		"/debug/pprof/":                       404,
		"/metrics":                            404,
		"etc/passwd":                          400,
		"../etc/passwd":                       400,
		"*":                                   400,
		"http://127.0.0.1/../etc/passwd":      404,
		"http://127.0.0.1//evil.example.net/": 404,
		"file:///etc/passwd":                  404, // the Host field counts
		"http://evil.example.net/":            421,
		"http://user:word@evil.example.net/":  421,
		"http://127.0.0.1@evil.example.net/hosts":    421,
		"https://evil.example.net:443/v1/status":     421,
		"http://[::1/":                               400,
		"/" + strings.Repeat("../", 500) + "etc/x":   404,
		"/" + strings.Repeat("%2e%2e/", 500) + "etc": 404,
	} {
		got, text := raw(t, address, lines("GET "+target+" HTTP/1.1", ours, last))
		if !slices.Equal(got, []int{want}) {
			t.Errorf("%.60q is answered %v, want %d\n%.300s", target, got, want, text)
		}
		if strings.Contains(text, "\r\nLocation:") {
			t.Errorf("%.60q leads elsewhere: %.300s", target, text)
		}
		for _, s := range secrets {
			if want != 404 && strings.Contains(text, s) || s == "root:" && strings.Contains(text, s) {
				t.Errorf("The answer to %.60q has %q in it", target, s)
			}
		}
	}
}

// TestHostFields: as TestNames, with what only a socket can send.
func TestHostFields(t *testing.T) {
	address, _ := serve(t, site(t, estate{at: noon, small: true}))
	for name, tt := range map[string]struct {
		fields []string
		want   int
	}{
		"right":                      {[]string{"Host: 127.0.0.1:8080"}, 200},
		"right, spaces around":       {[]string{"Host:   127.0.0.1\t"}, 200},
		"none":                       {nil, 400},
		"empty":                      {[]string{"Host:"}, 421},
		"another's":                  {[]string{"Host: evil.example.net"}, 421},
		"twice, right first":         {[]string{ours, "Host: evil.example.net"}, 400},
		"twice, right last":          {[]string{"Host: evil.example.net", ours}, 400},
		"twice the same":             {[]string{ours, "host: 127.0.0.1"}, 400},
		"two in one":                 {[]string{"Host: 127.0.0.1, evil.example.net"}, 400},
		"folded":                     {[]string{"Host: evil.example.net", " 127.0.0.1"}, 400},
		"a space before the colon":   {[]string{"Host : 127.0.0.1"}, 400},
		"a port that is a name":      {[]string{"Host: evil.example.net:127.0.0.1"}, 421},
		"a name before an @":         {[]string{"Host: 127.0.0.1@evil.example.net"}, 400},
		"an address before an @":     {[]string{"Host: localhost:80@evil.example.net"}, 400},
		"a path behind":              {[]string{"Host: evil.example.net/127.0.0.1"}, 400},
		"a query behind":             {[]string{"Host: evil.example.net?localhost"}, 400},
		"another port is no name":    {[]string{"Host: evil.example.net:80"}, 421},
		"brackets around a name":     {[]string{"Host: [evil.example.net]"}, 421},
		"brackets around localhost":  {[]string{"Host: [localhost]:8080"}, 200},
		"a name that begins like it": {[]string{"Host: 127.0.0.1.evil.example.net"}, 421},
		"a number":                   {[]string{"Host: 2130706433"}, 421},
		"octal":                      {[]string{"Host: 0177.0.0.1"}, 421},
		"two dots at the end":        {[]string{"Host: localhost.."}, 421},
		"said to be forwarded":       {[]string{"Host: evil.example.net", "X-Forwarded-Host: 127.0.0.1"}, 421},
	} {
		for _, path := range []string{"/", "/v1/status", "/clients.csv"} {
			got, text := raw(t, address, lines(append(append([]string{"GET " + path + " HTTP/1.1"}, tt.fields...), last)...))
			if !slices.Equal(got, []int{tt.want}) {
				t.Errorf("%s, %s: %v, want %d\n%.300s", name, path, got, tt.want, text)
			}
			for _, s := range secrets {
				if tt.want != 200 && strings.Contains(text, s) {
					t.Errorf("%s, %s: the answer has %q in it", name, path, s)
				}
			}
		}
	}
	// HTTP/1.0 knows no Host, and no browser speaks it; HTTP/0.9 and 2 without TLS are not spoken.
	for request, want := range map[string]int{
		lines("GET /v1/status HTTP/1.0"):                                 421,
		lines("GET /v1/status HTTP/1.0", "Host: evil.example.net"):       421,
		lines("GET /v1/status HTTP/1.0", ours):                           200,
		lines("GET /v1/status"):                                          400,
		lines("GET /v1/status HTTP/9.9", ours):                           505,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                               405,
		lines("get /v1/status HTTP/1.1", ours):                           405,
		lines("GET\t/v1/status\tHTTP/1.1", ours):                         400,
		"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX\x00: y\r\n\r\n": 400,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n":           400, // TLS
	} {
		if got, text := raw(t, address, request); !slices.Equal(got, []int{want}) {
			t.Errorf("%.60q is answered %v, want %d\n%.300s", request, got, want, text)
		}
	}
}

// TestMethods: as TestReadOnly, with what only a socket can send. Whatever the method, a stranger's Host is told nothing else.
func TestMethods(t *testing.T) {
	ranges := "Range: bytes=0-1,2-3," + strings.Repeat("1-1,", 400) + "5-6"
	address, _ := serve(t, site(t, estate{at: noon, small: true}))
	for request, want := range map[string]int{
		lines("OPTIONS * HTTP/1.1", ours, last):                                                            200, // net/http's own
		lines("OPTIONS / HTTP/1.1", ours, "Origin: http://evil.example.net", last):                         405,
		lines("TRACE / HTTP/1.1", ours, "Cookie: secret", last):                                            405,
		lines("CONNECT 127.0.0.1:1688 HTTP/1.1", "Host: 127.0.0.1:1688", last):                             405,
		lines("CONNECT evil.example.net:443 HTTP/1.1", "Host: evil.example.net:443", last):                 405,
		lines("POST /v1/drain HTTP/1.1", ours, "Content-Length: 0", last):                                  405,
		lines("POST / HTTP/1.1", "Host: evil.example.net", "Content-Length: 0", last):                      405,
		lines("GET / HTTP/1.1", ours, "X-HTTP-Method-Override: DELETE", last):                              200,
		lines("GET / HTTP/1.1", ours, "Upgrade: websocket", "Connection: Upgrade, close"):                  200,
		lines("GET / HTTP/1.1", ours, "Upgrade: h2c", "HTTP2-Settings: AAA", "Connection: Upgrade, close"): 200,
		lines("HEAD /v1/status HTTP/1.1", "Host: evil.example.net", last):                                  421,
		lines("G@T / HTTP/1.1", ours, last):                                                                400,
		lines("PROPFIND / HTTP/1.1", ours, "Depth: 1", last):                                               405,
		lines("GET /v1/status HTTP/1.1", ours, ranges, last):                                               200,
	} {
		got, text := raw(t, address, request)
		if !slices.Equal(got, []int{want}) {
			t.Errorf("%.60q is answered %v, want %d\n%.300s", request, got, want, text)
		}
		if strings.Contains(text, "Access-Control-") || strings.Contains(text, "secret") {
			t.Errorf("%.60q is answered with more than it should: %.300s", request, text)
		}
	}
}

// TestForeignSites: as TestForeignPages, with what browsers sent before they said where a request comes from. Origin alone
// does not let anybody read an answer that has no Access-Control-Allow-Origin; where it is another's, nothing is allowed.
func TestForeignSites(t *testing.T) {
	h := site(t, estate{at: noon, small: true}).Handler()
	for _, tt := range []struct {
		fields []string // in pairs
		want   int
	}{
		{[]string{"Origin", "http://evil.example.net"}, 200},
		{[]string{"Origin", "null"}, 200},
		{[]string{"Referer", "http://evil.example.net/"}, 200},
		{[]string{"Origin", "http://evil.example.net", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, 403},
		{[]string{"Sec-Fetch-Site", "CROSS-SITE"}, 403},
		{[]string{"Sec-Fetch-Site", "made-up"}, 403},
		{[]string{"Sec-Fetch-Site", "same-origin, cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "websocket"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "object"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "frame"}, 403},
	} {
		for _, path := range everything {
			w := ask(h, path, func(r *http.Request) {
				for i := 0; i < len(tt.fields); i += 2 {
					r.Header.Add(tt.fields[i], tt.fields[i+1])
				}
			})
			if w.Code != tt.want {
				t.Errorf("%s with %q: %d, want %d", path, tt.fields, w.Code, tt.want)
			}
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s with %q is answered with %s", path, tt.fields, name)
				}
			}
		}
	}
}

// TestSmuggling: where a request ends is never in doubt. No request here has a body, so one that says it has is refused and the
// connection closed: what a proxy in front might take for that body is never answered as a second request.
func TestSmuggling(t *testing.T) {
	address, _ := serve(t, site(t, estate{at: noon, small: true}))
	second := lines("GET /codes HTTP/1.1", ours, last)
	const chunked = "Transfer-Encoding: chunked"
	length := func(n int) string { return "Content-Length: " + strconv.Itoa(n) }
	for name, tt := range map[string]struct {
		fields []string
		body   string
		want   []int
	}{
		"length and chunks":              {[]string{length(5), chunked}, "0\r\n\r\n" + second, []int{400}},
		"chunks and length":              {[]string{chunked, length(5 + len(second))}, "0\r\n\r\n" + second, []int{400}},
		"two lengths":                    {[]string{length(0), length(len(second))}, second, []int{400}},
		"two lengths in one":             {[]string{"Content-Length: 0, " + strconv.Itoa(len(second))}, second, []int{400}},
		"twice the same length":          {[]string{length(len(second)), length(len(second))}, second, []int{400}},
		"a length with a sign":           {[]string{"Content-Length: +0"}, second, []int{400}},
		"a length below 0":               {[]string{"Content-Length: -1"}, second, []int{400}},
		"a length in hexadecimal":        {[]string{"Content-Length: 0x0"}, second, []int{400}},
		"a length too large for anybody": {[]string{"Content-Length: 99999999999999999999"}, second, []int{400}},
		"an encoding nobody knows":       {[]string{"Transfer-Encoding: xchunked"}, second, []int{501}},
		"two encodings":                  {[]string{"Transfer-Encoding: gzip, chunked"}, second, []int{501}},
		"an encoding twice":              {[]string{"Transfer-Encoding: chunked", "Transfer-Encoding: identity"}, second, []int{501}},
		"an encoding behind a tab":       {[]string{"Transfer-Encoding:\tchunked"}, "0\r\n\r\n" + second, []int{400}},
		"an encoding before a space":     {[]string{"Transfer-Encoding : chunked"}, "0\r\n\r\n" + second, []int{400}},
		"a bare CR in a value":           {[]string{"X: y\rTransfer-Encoding: chunked"}, second, []int{400}},
		"a chunk that is no number":      {[]string{chunked}, "zz\r\n" + second, []int{400}},
		"a chunk of more than there is":  {[]string{chunked}, "ffffffff\r\n" + second, []int{400}},
		"a chunk of a size beyond all":   {[]string{chunked}, strings.Repeat("f", 40) + "\r\n" + second, []int{400}},
		"a body of the right length":     {[]string{length(3)}, "abc" + second, []int{400}},
		"a body that is a request":       {[]string{length(len(second))}, second, []int{400}},
		"the length of nothing":          {[]string{length(0)}, second, []int{200, 200}},
		"a folded field is one":          {[]string{"X: y", " Transfer-Encoding: chunked"}, second, []int{200, 200}},
		"two requests":                   {nil, second, []int{200, 200}},
	} {
		request := lines(append([]string{"GET /v1/status HTTP/1.1", ours}, tt.fields...)...) + tt.body
		got, text := raw(t, address, request)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: answered %v, want %v\n%.400s", name, got, tt.want, text)
		}
	}
}

// TestGiantHeaders are not read to their end.
func TestGiantHeaders(t *testing.T) {
	address, _ := serve(t, site(t, estate{at: noon, small: true}))
	long := strings.Repeat("x", 32<<10)
	for name, request := range map[string]string{
		"a value":      lines("GET / HTTP/1.1", ours, "X: "+long),
		"a name":       lines("GET / HTTP/1.1", ours, long+": x"),
		"a Host":       lines("GET / HTTP/1.1", "Host: "+long),
		"a target":     lines("GET /"+long+" HTTP/1.1", ours),
		"a method":     lines(long+" / HTTP/1.1", ours),
		"a line":       long + long,
		"many":         lines("GET / HTTP/1.1", ours, strings.TrimSpace(strings.Repeat("X: y\r\n", 8<<10))),
		"many cookies": lines("GET / HTTP/1.1", ours, strings.TrimSpace(strings.Repeat("Cookie: a=b; c=d\r\n", 4<<10))),
	} {
		if got, text := raw(t, address, request); !slices.Equal(got, []int{http.StatusRequestHeaderFieldsTooLarge}) {
			t.Errorf("%s: %v, want 431\n%.200s", name, got, text)
		}
	}
	// What may be long and is told back is cut.
	got, text := raw(t, address, lines("GET / HTTP/1.1", "Host: "+strings.Repeat("x", 8<<10), last))
	if !slices.Equal(got, []int{421}) || len(text) > 2<<10 {
		t.Errorf("A Host of 8 KiB: %v with %d octets", got, len(text))
	}
}

// pipes is a listener that is nobody's network: it works in a bubble, where time passes when all wait.
type pipes struct {
	in     chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func newPipes() *pipes { return &pipes{in: make(chan net.Conn), closed: make(chan struct{})} }

// dial returns the client's end, once the server has taken the other or as soon as it does.
func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	go func() {
		select {
		case p.in <- there:
		case <-p.closed:
			there.Close()
		}
	}()
	return here
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.in:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// bubble has a site serve behind pipes, with time that passes when all wait, while f runs.
func bubble(t *testing.T, f func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, s := newPipes(), site(t, estate{at: noon, small: true})
		ctx, cancel := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := s.Serve(ctx, p); err != nil {
				t.Error(err)
			}
		})
		f(t, p)
		cancel()
		serving.Wait()
	})
}

// TestSlowRequests: however little by little a request comes, it has to be there in the time that requests have.
func TestSlowRequests(t *testing.T) {
	for name, tt := range map[string]struct{ first, again string }{
		"nothing at all":      {"", ""},
		"half a line":         {"GET / HT", ""},
		"fields for ever":     {"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", "X: y\r\n"},
		"a field for ever":    {"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", "y"},
		"a body for ever":     {"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n", "x"},
		"chunks for ever":     {"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"},
		"one and no second":   {"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", ""},
		"waits to be told to": {"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *pipes) {
				c := p.dial()
				start := time.Now()
				var dripping sync.WaitGroup
				defer dripping.Wait()
				defer c.Close()
				dripping.Go(func() {
					for _, err := io.WriteString(c, tt.first); err == nil; _, err = io.WriteString(c, tt.again) {
						time.Sleep(time.Second)
					}
				})
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 2*patience {
					t.Errorf("It was there for %s", took)
				}
			})
		})
	}
}

// TestUnreadAnswers: an answer that nobody reads is given up, and its place is somebody else's.
func TestUnreadAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, p *pipes) {
		request := lines("GET /v1/status HTTP/1.1", ours, last)
		for range maxConnections {
			c := p.dial()
			defer c.Close()
			io.WriteString(c, request)
		}
		c := p.dial()
		defer c.Close()
		start := time.Now()
		io.WriteString(c, request)
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); r.StatusCode != 200 || took < patience || took > 7*patience {
			t.Errorf("%s after %s, while nobody else read", r.Status, took)
		}
	})
}
