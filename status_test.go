package kms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/control"
	"github.com/coredns-kms/coredns-kms/internal/status"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// get asks the status page at port, called by a host name, and returns the status of HTTP and the body.
func get(t *testing.T, port int, name, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = name
	reply, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

// TestStatusOfARunningServer: what the page shows is what the server does, and the commands are told the same. Its zone is one
// that no other test has: counts and history are of the process.
func TestStatusOfARunningServer(t *testing.T) {
	a, b, port, page := freePort(t), freePort(t), freePort(t), freePort(t)
	k := keep(t)
	text := corefile(0, []int{a, b}, []int{a}, fmt.Sprintf("responder 127.0.0.1:%d\n status 127.0.0.1:%d\n %s", port, page, k.lines()))
	s := start(t, strings.ReplaceAll(text, "example.org", "status.example"))
	eventually(t, fmt.Sprintf("kms1.status.example:%d up, kms2.status.example:%d down", a, b), states)
	s.ask("_vlmcs._tcp.status.example.")
	f := kmsresponder.NewFleet(30, kmsresponder.RehearsalClient{Name: "STATUS", Suffixes: []string{"status.example"},
		Discover: func(context.Context, string) ([]kmsresponder.SRV, error) {
			return []kmsresponder.SRV{{Target: "127.0.0.1", Port: uint16(port)}}, nil
		}})
	f.Round(t.Context(), nil)

	socket := control.Client{Socket: k.socket}
	var report status.Report
	eventually(t, "30 known, 30 at kms1", func() string { // calls are entered and logged behind the clients' backs
		_, body := get(t, page, "127.0.0.1", "/v1/status")
		report = status.Report{}
		if err := json.Unmarshal([]byte(body), &report); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		return fmt.Sprintf("%d known, %d at kms1", report.Clients.Known, report.Pools[0].Hosts[0].Served)
	})
	z, p := report.Zones[0], report.Pools[0]
	if z.Name != "status.example" || z.Result != "normal" || z.TTL != 30 || len(z.Answer) != 1 || z.Answer[0].Target != "kms1.status.example" || len(z.Absent) != 1 {
		t.Errorf("Zone %+v", z)
	}
	if p.Responder == nil || p.Responder.Calls["forwarded_ok"] != 30 || p.Responder.Policy != "concentrate" || p.Responder.LastCall.IsZero() {
		t.Errorf("Responder %+v", p.Responder)
	}
	if h := p.Hosts[0]; h.State != "up" || h.Clients != 30 || h.Count != 30 || len(h.Latency) == 0 || h.Latency[len(h.Latency)-1].Passed == 0 {
		t.Errorf("kms1 %+v", h)
	}
	if h := p.Hosts[1]; h.State != "down" || !strings.Contains(h.Error, "refused") || len(h.Transitions) == 0 || h.Transitions[0].To != "down" {
		t.Errorf("kms2 %+v", h)
	}
	if report.Status != status.Warning || len(report.Findings) != 1 || report.Server.Name == "" || !report.Clients.Kept || len(report.Events) == 0 {
		t.Errorf("Report %+v", report)
	}

	told, err := socket.Status(t.Context())
	if err != nil || told.Summary != report.Summary || len(told.Pools[0].Hosts) != 2 {
		t.Errorf("At the control socket: %v, %+v", err, told)
	}
	list, err := socket.Clients(t.Context(), status.ClientQuery{Search: "status", Limit: 2})
	if err != nil || list.Total != 30 || len(list.Clients) != 2 {
		t.Errorf("Clients: %v, %+v", err, list)
	}
	why, err := socket.Why(t.Context(), list.Clients[0].ID)
	if err != nil || len(why.Calls) != 1 || why.Calls[0].Host != p.Hosts[0].Endpoint || len(why.Questions) == 0 || len(why.Preferences) == 0 {
		t.Errorf("Why: %v, %+v", err, why)
	}
	if q := why.Questions[0]; q.Name != "_vlmcs._tcp.status.example" || q.Type != "SRV" || q.Result != "normal" || !strings.Contains(q.Answer, "kms1.status.example") {
		t.Errorf("Question %+v", q)
	}
	refused := new(control.RefusedError)
	if _, err := socket.Why(t.Context(), "192.0.2.77"); !errors.As(err, &refused) {
		t.Errorf("Nobody: %v", err)
	}
	s.nothingLeft()
}

// TestStatusThroughReloads: the page stays, by the names of whichever configuration is in charge, and goes with the last.
func TestStatusThroughReloads(t *testing.T) {
	a, page := freePort(t), freePort(t)
	text := func(names string) string {
		return corefile(0, []int{a}, []int{a}, fmt.Sprintf("status 127.0.0.1:%d %s", page, names))
	}
	called := func(name string, want int) {
		t.Helper()
		if got, body := get(t, page, name, "/v1/status"); got != want {
			t.Errorf("Called %s: %d, want %d: %s", name, got, want, body)
		}
	}
	s := start(t, text("dns1.example.org"))
	called("dns1.example.org", http.StatusOK)
	called(fmt.Sprintf("dns1.example.org:%d", page), http.StatusOK)
	called("dns2", http.StatusMisdirectedRequest)
	if err := s.reload(text("dns2")); err != nil {
		t.Fatal(err)
	}
	called("dns2", http.StatusOK)
	called("dns1.example.org", http.StatusMisdirectedRequest)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := text("dns3") + fmt.Sprintf("example.net:%d {\n bind 127.0.0.1\n kms {\n host x.example.net\n }\n}\n", taken.Addr().(*net.TCPAddr).Port)
	if err := s.reload(bad); err == nil {
		t.Fatal("A port was bound twice")
	}
	called("dns2", http.StatusOK)
	called("dns3", http.StatusMisdirectedRequest)
	if err := s.reload(corefile(0, []int{a}, []int{a}, "")); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", page)); err == nil {
		c.Close()
		t.Error("The status page is there after it is gone from the Corefile")
	}
	if err := s.reload(corefile(0, []int{a}, []int{a}, fmt.Sprintf("status 127.0.0.1:%d", taken.Addr().(*net.TCPAddr).Port))); err == nil ||
		!strings.Contains(err.Error(), "status 127.0.0.1:") {
		t.Errorf("An address that is taken: %v", err)
	}
	s.nothingLeft()
}

// TestAFailedReloadIsAFinding: that the Corefile is not what runs is told until a reload succeeds.
func TestAFailedReloadIsAFinding(t *testing.T) {
	a := freePort(t)
	good := corefile(0, []int{a}, []int{a}, "")
	s := start(t, good)
	told := func() (n int) {
		for _, f := range live().Report().Findings {
			if f.About == "Corefile" {
				n++
			}
		}
		return n
	}
	for _, bad := range []string{corefile(0, []int{a}, nil, "nonsense"), corefile(0, []int{a}, nil, fmt.Sprintf("rehearse 192.0.2.1:%d", a))} {
		if n := told(); n != 0 {
			t.Errorf("%d findings about a Corefile that runs", n)
		}
		for range 2 {
			if err := s.reload(bad); err == nil {
				t.Fatal("A bad file is taken")
			}
			if n := told(); n != 1 {
				t.Errorf("%d findings about a reload that failed, want 1", n)
			}
		}
		if err := s.reload(good); err != nil {
			t.Fatal(err)
		}
	}
	if n := told(); n != 0 {
		t.Errorf("%d findings after a reload that succeeded", n)
	}
	s.nothingLeft()
}
