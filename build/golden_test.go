package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/urfave/cli/v3"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

// goldenClock is the time at which the fixtures in testdata/control were made.
func goldenClock() clock {
	return clock{func() time.Time { return time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC) }, time.FixedZone("CET", 3600)}
}

// A goldenRun is one call of a command whose output is kept. In args, $NAME stands for what goldenNames has.
type goldenRun struct{ name, args string }

// goldens is the calls of every command: at least one, and one with each of -json and -csv if it has them.
var goldens = map[string][]goldenRun{
	"probe": {{"some", "$UP $DOWN two..dots"}, {"json", "-json $UP $DOWN"}},
	"discover": {
		{"well", "-server $ZONE -suffix corp.example.org -resolv testdata/resolv.conf"},
		{"json", "-json -server $ZONE -suffix corp.example.org -resolv testdata/resolv.conf"},
		{"dead", "-server $ZONE -suffix dead.example.org -resolv testdata/resolv.conf"},
		{"nslookup", "-server $ZONE -suffix pc.corp.example.org -resolv testdata/resolv.conf"},
		{"host", "-resolv testdata/resolv.conf -server $ZONE -host $UP"},
	},
	"explain": {
		{"code", "-1073418124"}, {"unknown", "0x80070057 NXDOMIAN"}, {"list", ""}, {"json", "-json c004f042"},
		{"event", "-event $EVENT"}, {"event-json", "-json -event $EVENT"},
	},
	"import": {
		{"file", "-no-probe -licensed testdata/import/licensed testdata/import/db.corp.example.org"},
		{"json", "-no-probe -json testdata/import/db.corp.example.org"},
	},
	"status":  {{"once", "-socket $SOCKET"}, {"json", "-socket $SOCKET -json"}, {"nobody", "-socket /nowhere/s"}},
	"hosts":   {{"table", "-socket $SOCKET"}, {"json", "-socket $SOCKET -json"}},
	"clients": {{"table", "-socket $SOCKET -limit 4"}, {"json", "-socket $SOCKET -limit 4 -json"}, {"csv", "-socket $SOCKET -limit 4 -csv"}},
	"why": {{"story", "-socket $SOCKET 10.1.2.3"}, {"json", "-socket $SOCKET -json 10.1.2.3"}, {"unknown", "-socket $SOCKET 10.9.9.9"},
		{"busy", "-socket $SOCKET 10.8.8.8"}},
	"drain":    {{"done", "-socket $SOCKET kms1.corp.example.org"}, {"json", "-socket $SOCKET -json kms1.corp.example.org"}},
	"undrain":  {{"done", "-socket $SOCKET kms1.corp.example.org"}, {"json", "-socket $SOCKET -json kms1.corp.example.org"}},
	"rehearse": {{"clients", "-domain example.org -server $DNS -group server-b -clients 6"}},
	"simulate": {
		{"small", "-clients 60 -days 20 -grow 48h -fail 100h -way concentrate"},
		{"ways", "-clients 30 -hosts 2 -days 10 -grow 24h -office -vista -way all"},
		{"few", "-clients 10 -days 5 -grow 24h -way all"},
		{"json", "-json -clients 30 -hosts 2 -days 10 -grow 24h"},
		{"wrong", "-hang 2"},
	},
	// Those that read a Corefile need a process of their own: TestLintGolden.
	"lint":       {{"rules", "-rules"}, {"json", "-rules -json"}, {"none", "testdata/lint/nowhere"}},
	"completion": {{"bash", "bash"}, {"zsh", "zsh"}, {"fish", "fish"}, {"none", "tcsh"}},
	"complete":   {{"commands", "kms dr"}, {"hosts", "kms drain -socket $SOCKET kms"}},
	"man":        {{"pages", "-dir $DIR -date 2026-03-01"}},
	"help":       {{"list", ""}, {"unknown", "drian"}},
}

// goldenNames is what the names in goldenRuns stand for in this run of the test.
func goldenNames(t *testing.T) map[string]string {
	up, down := rehearsalHost(t), nobody(t)
	return map[string]string{
		"$SOCKET": fixtures(t), "$UP": up, "$DOWN": down, "$DNS": zone(t, up), "$ZONE": corpZone(t, up, down), "$DIR": t.TempDir(),
		"$EVENT": "0xC004F06C, 0x00000000, kms:1688, 36f27b39-2fd5-440b-be67-a09996d27a38, 2010/09/29 17:52, 0, 2, 41760, " +
			"68531fb9-5511-4989-97be-d11a0f55633f, 5",
	}
}

// fixtures is a control socket at which testdata/control answers.
func fixtures(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(socketDir(t), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("client") {
		case "10.9.9.9":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"version":1,"error":"nothing is known of that client: \u001b[2J"}`)
			return
		case "10.8.8.8":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"version":1,"error":"too many ask this at the same time"}`)
			return
		}
		http.ServeFile(w, r, filepath.Join("testdata/control", filepath.Base(r.URL.Path)+".json"))
	})}
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { h.Close(); running.Wait() })
	return socket
}

// What differs from one run to the next in what probes and rehearsals say.
var unsteady = []struct {
	found *regexp.Regexp
	is    string
}{
	{regexp.MustCompile(`\b[0-9.]+(µs|ms|s)\b`), "TIME"},
	{regexp.MustCompile(`"rtt_seconds": [0-9.e-]+`), `"rtt_seconds": TIME`},
	{regexp.MustCompile(`"start": "[^"]*"`), `"start": "TIME"`},
	{regexp.MustCompile(`"port": [0-9]+`), `"port": PORT`},
}

// TestGolden: what every command prints, and the help of each.
func TestGolden(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	names := goldenNames(t)
	var written []string
	compare := func(t *testing.T, file string, command string, args []string) {
		t.Helper()
		got := goldenOutput(t, command, args, names)
		written = append(written, file)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v; -update writes it", err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
	for _, c := range append(commands(goldenClock()), helpCommand()) {
		t.Run(c.Name, func(t *testing.T) {
			compare(t, filepath.Join("testdata/golden", c.Name+"-help.golden"), "help", []string{c.Name})
			runs := goldens[c.Name]
			if len(runs) == 0 {
				t.Errorf("Command %q has no row in goldens", c.Name)
			}
			for _, f := range c.Flags {
				name := f.Names()[0]
				has := func(r goldenRun) bool { return strings.Contains(r.args, "-"+name) }
				if (name == "json" || name == "csv") && !slices.ContainsFunc(runs, has) {
					t.Errorf("Command %q has a flag -%s and no row in goldens with it", c.Name, name)
				}
			}
			for _, r := range runs {
				compare(t, filepath.Join("testdata/golden", c.Name+"-"+r.name+".golden"), c.Name, strings.Fields(r.args))
			}
		})
	}
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(written, f) {
			t.Errorf("%s belongs to no call in goldens", f)
		}
	}
}

// goldenOutput runs a command and returns all that a person sees of it, with what differs each time taken out.
func goldenOutput(t *testing.T, command string, args []string, names map[string]string) string {
	t.Helper()
	real := slices.Clone(args)
	for i := range real {
		if value, ok := names[real[i]]; ok {
			real[i] = value
		}
	}
	var stdout, stderr bytes.Buffer
	status := dispatch(t.Context(), commands(goldenClock()), append([]string{command}, real...), &stdout, &stderr)
	out, errs := stdout.String(), stderr.String()
	all := strings.ReplaceAll(out+errs, "\r\n", "\n") // as CSV has it; a CR in any other place overwrites what is there
	if strings.ContainsFunc(all, func(r rune) bool { return r != '\n' && printable(string(r)) != string(r) && r != '\t' }) {
		t.Errorf("%s %q prints what a terminal takes for more than text: %q", command, args, all)
	}
	if slices.Contains([]string{"probe", "rehearse", "discover"}, command) {
		for _, u := range unsteady {
			out = u.found.ReplaceAllString(out, u.is)
		}
	}
	text := fmt.Sprintf("$ coredns kms %s\n%s", strings.TrimSpace(command+" "+strings.Join(args, " ")), out)
	if errs != "" {
		text += "--- on standard error\n" + errs
	}
	text += fmt.Sprintf("--- exit status %d\n", status)
	for name, value := range names {
		text = strings.ReplaceAll(text, value, name)
		if _, port, err := net.SplitHostPort(value); err == nil {
			text = strings.ReplaceAll(text, ":"+port, ":PORT")
		}
	}
	return text
}

// TestGoldenFailsForNewCommands: a command that is in the table and not in goldens is found.
func TestGoldenFailsForNewCommands(t *testing.T) {
	for _, c := range append(commands(wall()), &cli.Command{Name: "frobnicate"}) {
		if _, ok := goldens[c.Name]; ok == (c.Name == "frobnicate") {
			t.Errorf("Command %q: in goldens is %t", c.Name, ok)
		}
	}
}
