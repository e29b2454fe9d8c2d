package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/simulate"
)

func simulated(t *testing.T, line string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = kms(t, "simulate", strings.Fields(line), &out, &errs)
	return status, out.String(), errs.String()
}

// TestSimulateStatus: the exit status says whether all, some or none are activated at the end.
func TestSimulateStatus(t *testing.T) {
	const calm = " -days 10 -grow 24h -fail 0 -outage-every 0 -service-every 0"
	for line, want := range map[string]int{
		"-clients 60 -hosts 1" + calm:                            0,
		"-clients 24 -hosts 1" + calm:                            2,
		"-clients 60 -hosts 1 -activation 720h" + calm:           1, // those who came first are told to come again in a month
		"-clients 24 -hosts 1 -way all" + calm:                   0,
		"-clients 0":                                             3,
		"-clients 10 -way sideways":                              3,
		"-parallel 0":                                            3,
		"-compare /nowhere/report.md -fleets 60,many":            3,
		"-compare /nowhere/report.md -fleets 60 -hosts 1" + calm: 3,
		"-clients 10 -svg /nowhere/plot.svg -days 1 -grow 1h":    3,
		"clients": 3,
		"-clients 10 -days 1 -grow 1h -interval 10s -timeout 20s": 3,
	} {
		status, stdout, stderr := simulated(t, line)
		if status != want || (want == 3) != (stdout == "") || (want == 3) != (stderr != "") {
			t.Errorf("%s: got status %d, want %d\n%s%s", line, status, want, stdout, stderr)
		}
	}
}

// TestSimulateJSON: what is printed for programs is what was simulated.
func TestSimulateJSON(t *testing.T) {
	_, stdout, stderr := simulated(t, "-json -clients 60 -hosts 2 -days 10 -grow 24h -way all -seed 7")
	var got struct {
		Status  string
		Results []struct {
			Scenario struct {
				Clients int
				Way     string
				Seed    int
				Grow    float64 `json:"grow_seconds"`
			}
			Attempts float64
			Hosts    []struct{ Calls float64 }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || stderr != "" {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	if got.Status != "OK" || len(got.Results) != 4 {
		t.Fatalf("Got status %q, %d results", got.Status, len(got.Results))
	}
	for i, r := range got.Results {
		s := r.Scenario
		if s.Clients != 60 || s.Way != simulate.Way(i).String() || s.Seed != 7 || s.Grow != 24*60*60 ||
			r.Attempts < 60 || len(r.Hosts) != 2 {
			t.Errorf("Got %+v", r)
		}
	}
}

// TestSimulateReport: a report and its figure are written, and say by which command.
func TestSimulateReport(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "report.md")
	status, stdout, stderr := simulated(t, "-compare "+file+" -fleets 30,60 -hosts 2 -days 5 -grow 24h -parallel 2")
	text, err := os.ReadFile(file)
	if status != 0 || err != nil || stdout+stderr != "" {
		t.Fatalf("Got status %d, %v, %s%s", status, err, stdout, stderr)
	}
	for _, want := range []string{
		"\n    coredns kms simulate -hosts=2 -days=5 -grow=24h0m0s -compare=" + file + " -fleets=30,60 -parallel=2\n",
		"(report.svg)", "| 60 clients | 1 host | 2 hosts |"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("There is no %s in\n%s", want, text)
		}
	}
	figure, err := os.Open(filepath.Join(dir, "report.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer figure.Close()
	for d := xml.NewDecoder(figure); err == nil; {
		_, err = d.Token()
	}
	if err != io.EOF {
		t.Errorf("The figure: %v", err)
	}
}

// TestProgress: a bar is for terminals, and is gone at the end.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	newProgress(&out).show(0.5)
	if out.Len() > 0 {
		t.Errorf("Got %q where there is no terminal", out.String())
	}
	p := &progress{w: &out, began: time.Now().Add(-time.Minute)}
	p.show(0.25)
	p.show(0.26) // too soon
	p.end()
	if want := "\r[##########..............................]  25 %, 3m0s to go \x1b[K\r\x1b[K"; out.String() != want {
		t.Errorf("Got %q, want %q", out.String(), want)
	}
}
