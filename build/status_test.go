package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/coredns-kms/coredns-kms/internal/status"
)

// fixture is testdata/control/NAME.json.
func fixture[T any](t *testing.T, name string) (v T) {
	t.Helper()
	text, err := os.ReadFile("testdata/control/" + name + ".json")
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestViewFits: whatever the size of a terminal, no line is wider and there are no more, and nothing gets through that a terminal
// takes for more than text.
func TestViewFits(t *testing.T) {
	r := fixture[status.Report](t, "status")
	r.Findings = append(r.Findings, status.Finding{
		Severity: "critical", About: "全角" + strings.Repeat("é", 30), What: strings.Repeat("x", 300), Next: "\u200f\u0301",
	})
	for width := 1; width < 200; width += 7 {
		for _, height := range []int{1, 2, 3, 5, 10, 15, low, 24, tall - 1, tall, 60} {
			for _, v := range []view{{}, {footer: "q ends", trouble: "it is old"}, {ascii: true}} {
				v.width, v.height, v.zone = width, height, time.UTC
				lines := v.draw(r)
				if len(lines) > height {
					t.Fatalf("%dx%d: %d lines:\n%s", width, height, len(lines), strings.Join(lines, "\n"))
				}
				for _, l := range lines {
					beyond := strings.ContainsFunc(l, func(r rune) bool { return r > unicode.MaxASCII })
					if columns(l) > width || printable(l) != l || v.ascii && beyond {
						t.Fatalf("%dx%d: %d columns: %q", width, height, columns(l), l)
					}
				}
			}
		}
	}
}

// TestViewColours: colours say nothing that the text does not say.
func TestViewColours(t *testing.T) {
	r := fixture[status.Report](t, "status")
	bare, coloured := view{zone: time.UTC}.draw(r), view{zone: time.UTC, colour: true}.draw(r)
	for i := range coloured {
		without := coloured[i]
		for _, s := range []style{plain, bold, faint, red, green, yellow, blue, yellow + ";1", "0"} {
			without = strings.ReplaceAll(without, "\x1b["+string(s)+"m", "")
		}
		if strings.TrimRight(without, " ") != bare[i] {
			t.Errorf("%q without colours is %q, want %q", coloured[i], without, bare[i])
		}
	}
}

// TestViewOfNothing: a server that has only begun.
func TestViewOfNothing(t *testing.T) {
	got := strings.Join(view{zone: time.UTC}.draw(status.Report{Status: "ok", Summary: "it has begun"}), "\n")
	if !strings.HasPrefix(got, "KMS OK - it has begun\n") || strings.Contains(got, "HOST") || strings.Contains(got, "changes") {
		t.Errorf("Got %s", got)
	}
}

// TestViewWithoutResponder: where nothing counts clients, none are shown to be wanting, and no store is missed.
func TestViewWithoutResponder(t *testing.T) {
	r := status.Report{Pools: []status.Pool{{Hosts: []status.Host{{Endpoint: "kms1.example.org:1688", State: "up"}}}}}
	got := strings.Join(view{zone: time.UTC}.draw(r), "\n")
	if strings.Contains(got, " of 5") || strings.Contains(got, "no store") || !strings.Contains(got, "Clients: not counted: no kms block has a responder") {
		t.Errorf("Got %s", got)
	}
	r.Pools[0].Responder = new(status.Responder)
	got = strings.Join(view{zone: time.UTC}.draw(r), "\n")
	if !strings.Contains(got, "0 of 5") || !strings.Contains(got, "not kept: there is no store") {
		t.Errorf("With a responder: %s", got)
	}
}

func TestSparkline(t *testing.T) {
	p := func(mean float64, passed, failed int) status.Point {
		return status.Point{Mean: mean, Passed: passed, Failed: failed}
	}
	blanks := strings.Repeat(" ", sparkPoints)
	for name, tc := range map[string]struct {
		points []status.Point
		ascii  bool
		want   string
	}{
		"nothing":      {nil, false, blanks},
		"no probes":    {[]status.Point{p(0, 0, 0)}, false, blanks},
		"one":          {[]status.Point{p(0.1, 6, 0)}, false, blanks[1:] + "█"},
		"no time":      {[]status.Point{p(0, 6, 0)}, false, blanks[1:] + "▁"},
		"failures":     {[]status.Point{p(0.001, 6, 0), p(0, 0, 6), p(0.01, 1, 5)}, false, blanks[3:] + "▁×█"},
		"nothing else": {[]status.Point{p(0.001, 6, 0), p(0, 0, 6), p(0.01, 1, 5)}, true, blanks[3:] + "_x#"},
		"the last":     {append([]status.Point{p(9, 6, 0)}, make([]status.Point, sparkPoints)...), false, blanks},
	} {
		if got := (view{ascii: tc.ascii}).sparkline(tc.points); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		percent(0): "0 %", percent(0.004): "<1 %", percent(0.5): "50 %", percent(0.999): ">99 %", percent(1): "100 %",
		towards(0, true): "0 of 5", towards(4, true): "4 of 5", towards(5, true): "5 of 25", towards(24, true): "24 of 25", towards(25, true): "25", towards(1000, true): "1000", towards(0, false): "-", towards(3, false): "3 of 5",
		milliseconds(0.00042): "0.4 ms", milliseconds(0.042): "42 ms", milliseconds(2): "2000 ms", milliseconds(12.34): "12.3 s",
		clip("全角", 3): "全", clip("abc", 0): "", clip("a\u0301b", 1): "a\u0301",
	} {
		if got != want {
			t.Errorf("Got %q, want %q", got, want)
		}
	}
}

// TestStatusExit: as monitoring plugins have it.
func TestStatusExit(t *testing.T) {
	report := func(status string) string {
		return "-socket " + saying(t, `{"version":1,"status":"`+status+`","summary":"so it is"}`)
	}
	for name, tc := range map[string]struct {
		args           string
		status         int
		stdout, stderr string
	}{
		"ok":              {report("ok"), 0, "KMS OK - so it is | hosts_up=0;;;0;0 ", ""},
		"warning":         {report("warning"), 1, "KMS WARNING - so it is | hosts_up=0;;;0;0 ", ""},
		"critical":        {"-once " + report("critical"), 2, "KMS CRITICAL - so it is | hosts_up=0;;;0;0 ", ""},
		"a word to come":  {report("frobnicated"), 3, "KMS UNKNOWN - so it is | hosts_up=0;;;0;0 ", ""},
		"JSON":            {"-json " + report("warning"), 1, "{\n  \"version\": 1,", ""},
		"no server":       {"-socket /nowhere/s", 3, "KMS UNKNOWN - there is no socket /nowhere/s: ", ""},
		"refused":         {"-socket " + saying(t, `{"version":1,"error":"not today \u001b[2J | a=1"}`), 3, `KMS UNKNOWN - not today \x1b[2J / a=1` + "\n", ""},
		"no server, JSON": {"-json -socket /nowhere/s", 3, "{\n  \"version\": 1,\n  \"status\": \"unknown\",\n  \"error\": \"there is no socket", "is the server running"},
		"argument":        {"kms1", 3, "", "shows all there is"},
		"not a time":      {"-interval soon", 3, "", `-interval "soon": a duration, as in 30s`},
		"too often":       {"-interval 1ms", 3, "", "from 200ms"},
		"both":            {"-once -watch", 3, "", "one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := kms(t, "status", strings.Fields(tc.args), &stdout, &stderr)
			if status != tc.status || !strings.HasPrefix(stdout.String(), tc.stdout) || tc.stdout == "" && stdout.Len() > 0 || !strings.Contains(stderr.String(), tc.stderr) {
				t.Errorf("Status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
			}
		})
	}
}

// enough is a writer that ends a context when it has seen something n times.
type enough struct {
	bytes.Buffer
	what string
	n    int
	end  context.CancelFunc
}

func (e *enough) Write(p []byte) (int, error) {
	n, err := e.Buffer.Write(p)
	if strings.Count(e.String(), e.what) >= e.n {
		e.end()
	}
	return n, err
}

// TestStatusWatch: without a terminal it is printed again and again if one asks for it, until a signal.
func TestStatusWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &enough{what: "KMS WARNING", n: 3, end: cancel}
	args := []string{"status", "-watch", "-interval", "200ms", "-socket", fixtures(t)}
	if status := dispatch(ctx, commands(goldenClock()), args, out, io.Discard); status != 1 {
		t.Errorf("Status %d", status)
	}
	if got := strings.Count(out.String(), "KMS WARNING"); got != 3 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%d times: %q", got, out.String())
	}
}

func TestSpeaksUTF8(t *testing.T) {
	for env, want := range map[string]bool{
		"": false, "LANG=C": false, "LANG=de_DE.UTF-8": true, "LANG=de_DE.utf8": true, "LANG=de_DE.UTF-8 LC_ALL=C": false,
		"LANG=C LC_CTYPE=C.UTF-8": true,
	} {
		get := func(name string) string {
			for pair := range strings.FieldsSeq(env) {
				if value, ok := strings.CutPrefix(pair, name+"="); ok {
					return value
				}
			}
			return ""
		}
		if got := speaksUTF8(get); got != want {
			t.Errorf("%q: %t", env, got)
		}
	}
}

// TestAllClients: page by page, as many as are asked for or there are.
func TestAllClients(t *testing.T) {
	for name, tc := range map[string]struct{ total, limit, want, calls int }{
		"few":              {3, 100, 3, 1},
		"none":             {0, 100, 0, 1},
		"more than wanted": {500, 100, 100, 1},
		"pages":            {25_000, status.MaxRows, 25_000, 3},
		"part of a page":   {25_000, 10_001, 10_001, 2},
	} {
		calls := 0
		ask := func(_ context.Context, q status.ClientQuery) (status.Clients, error) {
			calls++
			if q.Limit < 1 || q.Limit > clientPage {
				t.Errorf("%s: asked for %d", name, q.Limit)
			}
			return status.Clients{Total: tc.total, Clients: make([]status.Client, max(min(q.Limit, tc.total-q.Offset), 0))}, nil
		}
		all, err := allClients(t.Context(), ask, status.ClientQuery{Limit: tc.limit})
		if err != nil || len(all.Clients) != tc.want || calls != tc.calls {
			t.Errorf("%s: %d clients in %d calls, %v", name, len(all.Clients), calls, err)
		}
	}
	// Clients that are forgotten meanwhile do not make it ask for ever; a server that ends makes an error.
	calls := 0
	shrinking := func(context.Context, status.ClientQuery) (status.Clients, error) {
		if calls++; calls > 1 {
			return status.Clients{Total: 25_000}, nil
		}
		return status.Clients{Total: 25_000, Clients: make([]status.Client, clientPage)}, nil
	}
	if all, err := allClients(t.Context(), shrinking, status.ClientQuery{Limit: status.MaxRows}); err != nil || len(all.Clients) != clientPage || calls != 2 {
		t.Errorf("Shrinking: %d clients in %d calls, %v", len(all.Clients), calls, err)
	}
	failing := func(context.Context, status.ClientQuery) (status.Clients, error) {
		return status.Clients{}, fmt.Errorf("gone")
	}
	if _, err := allClients(t.Context(), failing, status.ClientQuery{Limit: 1}); err == nil {
		t.Error("No error of a server that is gone")
	}
}

func TestClientsCommand(t *testing.T) {
	clients := func(silent string) string {
		return "-socket " + saying(t, `{"version":1,"total":1,"clients":[{"id":"10.1.2.3","address":"10.1.2.3","silent_days":`+silent+`}]}`)
	}
	for name, tc := range map[string]struct {
		args           string
		status         int
		stdout, stderr string
	}{
		"none":        {"-socket " + saying(t, `{"version":1,"total":0,"clients":[]}`), 0, "KMS OK - 0 clients", ""},
		"149 days":    {clients("149.9"), 0, "KMS OK - 1 clients", ""},
		"150 days":    {clients("150"), 1, "KMS WARNING - 1 clients", ""},
		"CSV":         {"-csv " + clients("150"), 1, "id,cmid,machine,address,", ""},
		"no server":   {"-socket /nowhere/s", 3, "KMS UNKNOWN - there is no socket ", ""},
		"none as CSV": {"-csv -socket /nowhere/s", 3, "", "is the server running"},
		"argument":    {"10.1.2.3", 3, "", `did you mean -search "10.1.2.3"?`},
		"both":        {"-json -csv", 3, "", "one of them"},
		"no limit":    {"-limit 0", 3, "", "from 1 to 100000"},
		"high limit":  {"-limit 100001", 3, "", "from 1 to 100000"},
		"no days":     {"-silent -1", 3, "", "from 0 to 3650"},
		"long search": {"-search " + strings.Repeat("x", 129), 3, "", "at most 128"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := kms(t, "clients", strings.Fields(tc.args), &stdout, &stderr)
			if status != tc.status || !strings.HasPrefix(stdout.String(), tc.stdout) || tc.stdout == "" && stdout.Len() > 0 || !strings.Contains(stderr.String(), tc.stderr) {
				t.Errorf("Status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
			}
		})
	}
}

func TestWhyCommand(t *testing.T) {
	for name, tc := range map[string]struct {
		args   string
		status int
		stderr string
	}{
		"nobody":      {"", 3, "takes one"},
		"two":         {"a b", 3, "takes one"},
		"no server":   {"-socket /nowhere/s a", 3, "is the server running"},
		"not a peer":  {"-socket " + saying(t, "<html>") + " a", 3, "is not a coredns with kms"},
		"JSON":        {"-json -socket /nowhere/s a", 3, "is the server running"},
		"refused":     {"-socket " + saying(t, `{"version":1,"error":"too many ask this"}`) + " a", 3, "too many ask this"},
		"little more": {"-socket " + saying(t, `{"version":1,"story":["it asked"]}`) + " a", 0, ""},
	} {
		var stdout, stderr bytes.Buffer
		if status := kms(t, "why", strings.Fields(tc.args), &stdout, &stderr); status != tc.status || !strings.Contains(stderr.String(), tc.stderr) {
			t.Errorf("%s: status %d, stdout %q, stderr %q", name, status, stdout.String(), stderr.String())
		}
		if strings.HasPrefix(tc.args, "-json") && !(json.Valid(stdout.Bytes()) && strings.Contains(stdout.String(), `"status": "UNKNOWN"`)) {
			t.Errorf("%s: as JSON: %q", name, stdout.String())
		}
	}
}

// TestSilentClients: all that are silent for too long are counted, also those that are not shown.
func TestSilentClients(t *testing.T) {
	asked := 0
	ask := func(_ context.Context, q status.ClientQuery) (status.Clients, error) {
		asked++
		if q.SilentDays != silentTooLong || q.Limit != 1 || q.Search != "pc" {
			t.Errorf("Asked %+v", q)
		}
		return status.Clients{Total: 70}, nil
	}
	for i, tc := range []struct {
		silent     []float64
		total      int
		want, asks int
	}{
		{nil, 0, 0, 0}, {[]float64{200, 10}, 90, 1, 0}, {[]float64{200, 150}, 2, 2, 0}, {[]float64{200, 150}, 90, 70, 1},
	} {
		shown := status.Clients{Total: tc.total}
		for _, days := range tc.silent {
			shown.Clients = append(shown.Clients, status.Client{Silent: days})
		}
		asked = 0
		got, err := silentClients(t.Context(), ask, status.ClientQuery{Search: "pc", Limit: 2}, shown)
		if err != nil || got != tc.want || asked != tc.asks {
			t.Errorf("%d: %d, %v, asked %d times", i, got, err, asked)
		}
	}
}

// TestJSONForTerminals: what is printed is the same to a program, and harmless to a terminal.
func TestJSONForTerminals(t *testing.T) {
	hostile := "a\x1b[2J\u202e\u0085\x00\u200f<b>\U000e0041\U0001f600é"
	var b bytes.Buffer
	if err := printJSON(&b, []string{hostile}); err != nil {
		t.Fatal(err)
	}
	var back []string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back) != 1 || back[0] != hostile {
		t.Errorf("It is read back as %q, %v", back, err)
	}
	for line := range strings.Lines(b.String()) {
		if line = strings.TrimSuffix(line, "\n"); printable(line) != line {
			t.Errorf("What a terminal takes for more than text: %q", line)
		}
	}
}

// TestClientsSilentBound: what the server does not take is refused before it is asked.
func TestClientsSilentBound(t *testing.T) {
	for days, want := range map[int]string{status.MaxSilent: "there is no socket", status.MaxSilent + 1: "-silent 3651: from 0 to 3650 days"} {
		var out, errs strings.Builder
		code := dispatch(t.Context(), commands(wall()), []string{"clients", "-socket", "/nowhere/s", "-silent", fmt.Sprint(days)}, &out, &errs)
		if code != int(statusUnknown) || !strings.Contains(out.String()+errs.String(), want) {
			t.Errorf("%d days: %d, %q, want %q", days, code, out.String()+errs.String(), want)
		}
	}
}
