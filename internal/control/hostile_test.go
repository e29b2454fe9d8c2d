package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// do sends one request as it is and returns status and body.
func (r *running) do(method, path, body string) (int, string) {
	r.t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket)
	}}}
	q, err := http.NewRequest(method, "http://kms"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	reply, err := c.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

func TestWrongRequests(t *testing.T) {
	r := serve(t, true)
	p := r.pool("example.org.", "kms1.example.org", "kms2.example.org", "kms2.example.org:1689")
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"unknown path":     {"GET", "/v2/hosts", "", 404, "/v1/hosts"},
		"wrong method":     {"GET", "/v1/drain", "", 404, "POST /v1/drain"},
		"no JSON":          {"POST", "/v1/drain", "host=kms1", 400, "as it should be"},
		"no body":          {"POST", "/v1/drain", "", 400, "as it should be"},
		"unknown field":    {"POST", "/v1/drain", `{"host":"kms1.example.org","reason":"x"}`, 400, "reason"},
		"two values":       {"POST", "/v1/drain", `{"host":"kms1.example.org"}{}`, 400, "more than one"},
		"no host":          {"POST", "/v1/drain", `{}`, 400, "no host"},
		"unknown host":     {"POST", "/v1/drain", `{"host":"kms7.example.org"}`, 404, "kms1.example.org:1688, kms2.example.org:1688"},
		"which of two":     {"POST", "/v1/undrain", `{"host":"kms2.example.org"}`, 409, "say which"},
		"oversized":        {"POST", "/v1/drain", `{"host":"kms1.example.org","why":"` + strings.Repeat("x", 64<<10) + `"}`, 413, "65536"},
		"oversized header": {"GET", "/" + strings.Repeat("x", 32<<10), "", 431, ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := r.do(tt.method, tt.path, tt.body)
			var p Problem
			err := json.Unmarshal([]byte(text), &p)
			if status != tt.status || !strings.Contains(p.Error, tt.want) || tt.want != "" && (err != nil || p.Version != 1) {
				t.Errorf("%d, %s, want %d with %q", status, text, tt.status, tt.want)
			}
		})
	}
	for _, h := range p.Hosts() {
		if h.State == pool.Drained {
			t.Errorf("%s was drained by one of these", h.Endpoint())
		}
	}
	// A reason that is too long is cut, not refused: the host is to be drained.
	if _, err := r.Drain(t.Context(), Request{Host: "kms1.example.org", Why: strings.Repeat("ä", 600)}); err != nil {
		t.Error(err)
	}
	if h := p.Hosts()[0]; h.Drainage == nil || len(h.Drainage.Why) != maxWhy {
		t.Errorf("Kept: %+v", h.Drainage)
	}
}

// TestHostileRequests: what browsers, proxies and those who look for holes send, octet for octet. None of it drains a host.
func TestHostileRequests(t *testing.T) {
	r := serve(t, true)
	p := r.pool("example.org.", "kms1.example.org", "kms2.example.org")
	const drain = `{"host":"kms1.example.org"}`
	length := fmt.Sprintf("Content-Length: %d", len(drain))
	for name, tt := range map[string]struct {
		head   []string
		body   string
		status int
	}{
		"a form of another site": {[]string{"POST /v1/drain HTTP/1.1", "Host: kms", "Origin: http://evil.example.net",
			"Content-Type: text/plain", length}, drain, 403},
		"a script of another site": {[]string{"POST /v1/drain HTTP/1.1", "Host: kms", "Sec-Fetch-Site: cross-site",
			"Sec-Fetch-Mode: no-cors", length}, drain, 403},
		"a page on this machine": {[]string{"POST /v1/undrain HTTP/1.1", "Host: localhost", "Origin: null",
			"Sec-Fetch-Site: same-origin", length}, drain, 403},
		"a link followed":   {[]string{"GET /v1/hosts HTTP/1.1", "Host: kms", "Referer: http://evil.example.net/"}, "", 403},
		"a preflight":       {[]string{"OPTIONS /v1/drain HTTP/1.1", "Host: kms", "Origin: http://evil.example.net"}, "", 403},
		"OPTIONS":           {[]string{"OPTIONS /v1/drain HTTP/1.1", "Host: kms"}, "", 404},
		"PUT":               {[]string{"PUT /v1/drain HTTP/1.1", "Host: kms", length}, drain, 404},
		"CONNECT":           {[]string{"CONNECT kms1.example.org:1688 HTTP/1.1", "Host: kms1.example.org:1688"}, "", 404},
		"no Host":           {[]string{"POST /v1/drain HTTP/1.1", length}, drain, 400},
		"two Hosts":         {[]string{"POST /v1/drain HTTP/1.1", "Host: kms", "Host: kms", length}, drain, 400},
		"up and down":       {[]string{"POST /v1/../v1/drain HTTP/1.1", "Host: kms", length}, drain, 404},
		"the same, encoded": {[]string{"POST /v1/%2e%2e/v1/drain HTTP/1.1", "Host: kms", length}, drain, 404},
		"two slashes":       {[]string{"POST //v1/drain HTTP/1.1", "Host: kms", length}, drain, 404},
		"a slash behind":    {[]string{"POST /v1/drain/ HTTP/1.1", "Host: kms", length}, drain, 404},
		"a file":            {[]string{"GET /../../etc/passwd HTTP/1.1", "Host: kms"}, "", 404},
		"two lengths":       {[]string{"POST /v1/drain HTTP/1.1", "Host: kms", length, "Content-Length: 0"}, drain, 400},
		"an odd encoding":   {[]string{"POST /v1/drain HTTP/1.1", "Host: kms", "Transfer-Encoding: gzip, chunked", length}, drain, 501},
		"a method override": {[]string{"GET /v1/drain HTTP/1.1", "Host: kms", "X-HTTP-Method-Override: POST"}, "", 404},
		"in the query":      {[]string{"GET /v1/drain?host=kms1.example.org HTTP/1.1", "Host: kms"}, "", 404},
		"no HTTP":           {[]string{"drain kms1.example.org"}, "", 400},
	} {
		c, err := net.Dial("unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, strings.Join(append(tt.head, "Connection: close"), "\r\n")+"\r\n\r\n"+tt.body)
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		c.Close()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if answer.StatusCode != tt.status || answer.Header.Get("Location") != "" {
			t.Errorf("%s: %s, leading to %q, want %d", name, answer.Status, answer.Header.Get("Location"), tt.status)
		}
		for field := range answer.Header {
			if strings.HasPrefix(field, "Access-Control-") {
				t.Errorf("%s: answered with %s", name, field)
			}
		}
	}
	for _, h := range p.Hosts() {
		if h.State == pool.Drained {
			t.Errorf("%s was drained by one of these", h.Endpoint())
		}
	}
}

// TestConnectionsAreBounded: who takes all places and says nothing is shown out, and others wait for no longer than that.
func TestConnectionsAreBounded(t *testing.T) {
	const patience = 200 * time.Millisecond
	ln := listen(t, socketPath(t))
	s := &Server{Engine: engine.New(), Log: func(string) {}, patience: patience}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(t.Context(), ln) })
	t.Cleanup(serving.Wait)
	start := time.Now()
	var slow []net.Conn
	for i := range maxConnections {
		c, err := net.Dial("unix", ln.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			io.WriteString(c, "POST /v1/drain HTTP/1.1\r\nHost: kms\r\nContent-Length: 100\r\n\r\n{") // and never the rest
		}
		slow = append(slow, c)
	}
	if _, err := (Client{Socket: ln.path}).Hosts(t.Context()); err != nil {
		t.Errorf("After the others were shown out: %v", err)
	}
	if took := time.Since(start); took < patience {
		t.Errorf("There was a place after %s, though all were taken for %s", took, patience)
	}
	for _, c := range slow {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("A silent client is still there: %v", err)
		}
	}
}

// TestEndsWithSlowClients: a client that says nothing does not keep the process from ending.
func TestEndsWithSlowClients(t *testing.T) {
	ln := listen(t, socketPath(t))
	s := &Server{Engine: engine.New(), Log: func(string) {}}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	for range maxConnections + 3 {
		c, err := net.Dial("unix", ln.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET /v1/hosts HTTP/1.1\r\n")
	}
	start := time.Now()
	cancel()
	if err := <-served; err != nil || time.Since(start) > 4*time.Second {
		t.Errorf("%v, after %s", err, time.Since(start))
	}
}

// TestClientErrors say what to do.
func TestClientErrors(t *testing.T) {
	gone, dead, foreign := socketPath(t), socketPath(t), socketPath(t)
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	other, err := net.Listen("unix", foreign)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") })}
	serving.Go(func() { h.Serve(other) })
	defer serving.Wait()
	defer h.Close()
	file := socketPath(t)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for socket, want := range map[string]string{
		gone:    "is the server running",
		dead:    "is not running any more",
		foreign: "is not a coredns with kms",

		filepath.Dir(gone):          "is not a socket (a directory): -socket takes",
		file:                        "is not a socket (a file): -socket takes",
		filepath.Join(file, "sock"): "is the server running",
	} {
		_, err := Client{Socket: socket}.Hosts(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), socket) {
			t.Errorf("%s: %v, want %q", socket, err, want)
		}
	}
	if err := read(200, []byte(`{"version":2}`), nil, "x"); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("Another version: %v", err)
	}
	if text := owner(gone); !strings.Contains(text, "cannot be entered") {
		t.Errorf("Where the directory is closed: %q", text)
	}
	if text := owner(dead); !strings.Contains(text, "user "+me(t)) || !strings.Contains(text, "group ") {
		t.Errorf("Where the socket is closed: %q", text)
	}
}

// TestHungServer: the commands give up.
func TestHungServer(t *testing.T) {
	ln := listen(t, socketPath(t)) // whose queue takes connections, and nobody else does
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Client{Socket: ln.path}.Hosts(ctx)
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("Got %v", err)
	}
}
