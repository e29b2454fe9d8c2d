//go:build interop

package monitoring

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/kmsresponder"

	"github.com/miekg/dns"
)

// promtool runs promtool in monitoring/ and returns what it said.
func promtool(t *testing.T, input io.Reader, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "promtool"), args...)
	cmd.Dir, cmd.Stdin = "../../monitoring", input
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// program finds a program. One that is missing fails the test: skipped interop is no interop.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install prometheus", name)
	}
	return path
}

// TestPromtool: the rules are rules, each fires when it should and not else, and the example is a configuration.
func TestPromtool(t *testing.T) {
	want := fmt.Sprintf("%d rules found", len(alerts(t)))
	if out := promtool(t, nil, "check", "rules", "alerts.yml"); !strings.Contains(out, want) {
		t.Errorf("Got %q, want %s", out, want)
	}
	promtool(t, nil, "test", "rules", "alerts_test.yml")
	promtool(t, nil, "check", "config", "prometheus.yml")
}

// A process is a program that runs until the test ends.
type process struct {
	cmd   *exec.Cmd
	said  bytes.Buffer // to be read once ended is closed
	ended chan struct{}
}

func run(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop()
		if said := p.said.Bytes(); t.Failed() {
			t.Logf("%s %s ended with:\n%s", filepath.Base(name), args[0], said[max(0, len(said)-2000):])
		}
	})
	return p
}

// stop ends p and waits until it is gone.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) // fails only if it is gone
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// freePort is one below those that the system gives to outgoing connections, so that a host that is dead for a while finds it
// free. No two of one test are the same.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		nextPort++
		port := strconv.Itoa(20000 + (os.Getpid()*97+nextPort)%10000)
		ln, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		conn, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		ln.Close()
		if err != nil {
			continue
		}
		conn.Close()
		return port
	}
	t.Fatal("No free port")
	return ""
}

var nextPort int

// await polls until is true; what says what it waits for, and is may say what it sees instead.
func await(t *testing.T, what string, is func() (sees string, ok bool)) {
	t.Helper()
	const patience = 60 * time.Second
	deadline, tick := time.After(patience), time.NewTicker(200*time.Millisecond)
	defer tick.Stop()
	for {
		sees, ok := is()
		if ok {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("Not within %s: %s. Seen: %s", patience, what, sees)
		case <-tick.C:
		}
	}
}

// scene is the server, its hosts, and a Prometheus that scrapes it.
type scene struct {
	t          *testing.T
	coredns    string // the program
	dns        string // addresses
	metrics    string
	responder  uint16
	prometheus string
	server     *process
	hosts      [3]*process
	ports      [3]string
}

const pool = "corp.example.org"

// corefile is a server that does all that has a metric. One key, that of clients, is all that its hosts have.
const corefile = `corp.example.org:$DNS {
    bind 127.0.0.1
    kms {
        host kms1.corp.example.org:$KMS1 address 127.0.0.1
        host kms2.corp.example.org:$KMS2 address 127.0.0.1 priority 1
        host kms3.corp.example.org:$KMS3 address 127.0.0.1 priority 2
        probe rpc interval 1s timeout 500ms
        responder 127.0.0.1:$RESPONDER {
            advertise kms.corp.example.org
            warm 10
            limit rate 100000
        }
        update {
            allow 127.0.0.0/8 target *.corp.example.org
            port $NOBODY
        }
        ns ns1.example.org
        store $DIR/kms.db
    }
    transfer {
        to *
    }
    file $DIR/zone
    prometheus 127.0.0.1:$METRICS
}
`

// zone is what kms lies over.
const zone = `$ORIGIN corp.example.org.
$TTL 60
@ SOA ns1.example.org. hostmaster.example.org. 1 60 60 60 60
@ NS ns1.example.org.
kms A 127.0.0.1
`

// newScene starts everything. Prometheus has monitoring/ as it is, but for the pace: it asks once a second, and alerts wait
// for a second only.
func newScene(t *testing.T) (s *scene, nobody string) {
	t.Helper()
	dir := t.TempDir()
	s = &scene{t: t, coredns: filepath.Join(dir, "coredns")}
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", s.coredns, "./build")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./build: %v\n%s", err, out)
	}
	dnsPort, metricsPort, responder, prometheusPort, nobody := freePort(t), freePort(t), freePort(t), freePort(t), freePort(t)
	if _, err := fmt.Sscan(responder, &s.responder); err != nil {
		t.Fatal(err)
	}
	s.dns, s.metrics, s.prometheus = "127.0.0.1:"+dnsPort, "127.0.0.1:"+metricsPort, "127.0.0.1:"+prometheusPort
	for i := range s.hosts {
		s.ports[i] = freePort(t)
		s.revive(i)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("zone", zone)
	text := strings.NewReplacer("$DNS", dnsPort, "$KMS1", s.ports[0], "$KMS2", s.ports[1], "$KMS3", s.ports[2],
		"$RESPONDER", responder, "$NOBODY", nobody, "$METRICS", metricsPort, "$DIR", dir).Replace(corefile)
	s.server = run(t, s.coredns, "-conf", write("Corefile", text))

	write("alerts.yml", regexp.MustCompile(`(?m)^( +for): \w+$`).ReplaceAllString(file(t, "monitoring/alerts.yml"), "$1: 1s"))
	config := strings.NewReplacer("15s", "1s", "127.0.0.1:9153", s.metrics).Replace(file(t, "monitoring/prometheus.yml"))
	run(t, program(t, "prometheus"), "--config.file="+write("prometheus.yml", config),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+s.prometheus, "--log.level=warn")
	await(t, "Prometheus ready", func() (string, bool) {
		r, err := http.Get("http://" + s.prometheus + "/-/ready")
		if err != nil {
			return err.Error(), false
		}
		r.Body.Close()
		return r.Status, r.StatusCode == http.StatusOK
	})
	return s, nobody
}

// revive starts host i, with a key for clients only.
func (s *scene) revive(i int) {
	s.hosts[i] = run(s.t, s.coredns, "kms", "rehearse", "-listen", "127.0.0.1:"+s.ports[i], "-group", "client-vl")
}

// call has clients of a group look for a host and call it, once each. How it goes is in the metrics.
func (s *scene) call(n int, group string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.coredns, "kms", "rehearse", "-domain", pool, "-server", s.dns, "-rounds", "1",
		"-clients", strconv.Itoa(n), "-group", group)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() == 3 || ctx.Err() != nil) {
		return fmt.Errorf("kms rehearse: %w\n%s", err, out)
	}
	return nil
}

// callAgain has clients call that know the server from before: while no host is left, it is in no answer.
func (s *scene) callAgain(n int) {
	kmsresponder.NewFleet(n, kmsresponder.RehearsalClient{
		Name: "AGAIN", Suffixes: []string{pool},
		Discover: func(context.Context, string) ([]kmsresponder.SRV, error) {
			return []kmsresponder.SRV{{Target: "127.0.0.1", Port: s.responder}}, nil
		},
	}).Round(s.t.Context(), nil)
}

// announce sends an UPDATE with records, and wants it to end so.
func (s *scene) announce(rcode int, records ...string) {
	s.t.Helper()
	m := new(dns.Msg)
	m.SetUpdate(pool + ".")
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			s.t.Fatal(err)
		}
		m.Insert([]dns.RR{rr})
	}
	r, err := dns.Exchange(m, s.dns)
	if err != nil || r.Rcode != rcode {
		s.t.Fatalf("UPDATE: %v, %v, want %s", r, err, dns.RcodeToString[rcode])
	}
}

// transfer is a secondary that fetches the zone.
func (s *scene) transfer() {
	s.t.Helper()
	m := new(dns.Msg)
	m.SetAxfr("_vlmcs._tcp." + pool + ".")
	ch, err := new(dns.Transfer).In(m, s.dns)
	if err != nil {
		s.t.Fatal(err)
	}
	for e := range ch {
		if e.Error != nil {
			s.t.Fatalf("Transfer: %v", e.Error)
		}
	}
}

// get asks Prometheus' API and reads the data of what it answers.
func (s *scene) get(path string, query url.Values, data any) error {
	r, err := http.Get("http://" + s.prometheus + "/api/v1/" + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", r.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return nil
}

// numbers is how many rows with a number a query has now.
func (s *scene) numbers(expr string) (int, error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := s.get("query", url.Values{"query": {expr}}, &data); err != nil {
		return 0, fmt.Errorf("%s: %w", expr, err)
	}
	n := 0
	for _, row := range data.Result {
		text, _ := row.Value[1].(string)
		if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) {
			n++
		}
	}
	return n, nil
}

// values is the values of a label, as Grafana asks for those of a variable.
func (s *scene) values(query string) []string {
	s.t.Helper()
	m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(query)
	if m == nil {
		s.t.Fatalf("Variable asks %q, want label_values(METRIC, LABEL)", query)
	}
	var all []string
	await(s.t, query, func() (string, bool) {
		err := s.get("label/"+m[2]+"/values", url.Values{"match[]": {m[1]}}, &all)
		return fmt.Sprint(all, err), err == nil && len(all) > 0
	})
	return all
}

// fired is an alert as Prometheus has it.
type fired struct {
	Labels, Annotations map[string]string
	State               string
}

// unfilled is what Prometheus makes of what it cannot fill in: "<error ...>", or nothing for a label that is not there.
var unfilled = regexp.MustCompile(`<|  | [.,:)]|\(\)`)

// awaitAlert waits until an alert with these labels fires, and reads its words.
func (s *scene) awaitAlert(name string, labels ...string) {
	s.t.Helper()
	var found fired
	await(s.t, fmt.Sprintf("alert %s %v", name, labels), func() (string, bool) {
		var data struct{ Alerts []fired }
		if err := s.get("alerts", nil, &data); err != nil {
			return err.Error(), false
		}
		var seen []string
		for _, a := range data.Alerts {
			seen = append(seen, a.Labels["alertname"]+" "+cmp.Or(a.Labels["host"], a.Labels["zone"], a.Labels["pool"])+" "+a.State)
			is := a.Labels["alertname"] == name && a.State == "firing"
			for i := 0; i < len(labels); i += 2 {
				is = is && a.Labels[labels[i]] == labels[i+1]
			}
			if is {
				found = a
				return "", true
			}
		}
		slices.Sort(seen)
		return strings.Join(seen, ", "), false
	})
	for key, words := range found.Annotations {
		if unfilled.MatchString(words) {
			s.t.Errorf("%s: %s is %q", name, key, words)
		}
	}
	s.t.Logf("%s: %s", name, found.Annotations["summary"])
}

// awaitState waits until host i is in a state, as Prometheus has it.
func (s *scene) awaitState(i int, state string) {
	s.t.Helper()
	expr := fmt.Sprintf(`coredns_kms_host_state{host="kms%d.%s:%s", state=%q} == 1`, i+1, pool, s.ports[i], state)
	await(s.t, expr, func() (string, bool) {
		n, err := s.numbers(expr)
		return fmt.Sprint(n, err), n == 1
	})
}

// busy calls while f waits, so that rates are of something.
func (s *scene) busy(call func() error, f func()) {
	s.t.Helper()
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := call(); err != nil {
				s.t.Error(err)
				return
			}
		}
	}()
	defer func() {
		close(done)
		<-stopped
	}()
	f()
}

// TestPrometheus goes through a bad day: what the dashboard asks is answered, and what happens raises its alert.
func TestPrometheus(t *testing.T) {
	s, nobody := newScene(t)
	for i := range s.hosts {
		s.awaitState(i, "up")
	}
	service := "_vlmcs._tcp." + pool + ". 60 IN SRV 0 0 "
	s.announce(dns.RcodeSuccess, "kms9.corp.example.org. 60 IN A 127.0.0.1", service+nobody+" kms9.corp.example.org.")
	s.announce(dns.RcodeRefused, service+"1688 rogue.example.net.")
	s.transfer()

	someDeclined := func() error { return errors.Join(s.call(27, "client-vl"), s.call(3, "server-a")) }
	s.busy(someDeclined, func() {
		t.Run("rules", s.rules)
		s.awaitAlert("KMSRegistrationRefused", "zone", pool+".", "result", "refused_policy")
		s.awaitAlert("KMSClaimNotProved", "pool", pool)
		s.awaitAlert("KMSCallsDeclined", "pool", pool)
		s.awaitAlert("KMSHostNearClientThreshold", "host", "kms1."+pool+":"+s.ports[0])

		s.hosts[0].stop()
		s.awaitAlert("KMSHostDown", "host", "kms1."+pool+":"+s.ports[0])
		t.Run("dashboard", s.dashboard)
	})
	t.Run("metrics", s.lint)

	// Both at once look like this machine's own fault; one after the other does not.
	s.hosts[1].stop()
	s.hosts[2].stop()
	s.awaitAlert("KMSSelfSuspected", "pool", pool)
	s.revive(1)
	s.revive(2)
	s.awaitState(1, "up")
	s.awaitState(2, "up")
	s.hosts[1].stop()
	s.awaitState(1, "down")
	s.hosts[2].stop()
	s.awaitAlert("KMSAllHostsDown", "pool", pool)
	inVain := func() error { s.callAgain(5); return nil }
	s.busy(inVain, func() { s.awaitAlert("KMSCallsFailing", "pool", pool) })

	s.server.stop()
	s.awaitAlert("KMSServerNotScraped", "instance", s.metrics)
	s.awaitAlert("KMSMetricsAbsent")
}

// rules: Prometheus has every alert, evaluates it, and finds nothing wrong with it.
func (s *scene) rules(t *testing.T) {
	type rule struct{ Name, Health, LastError, Type string }
	await(t, "every alert evaluated", func() (string, bool) {
		var data struct{ Groups []struct{ Rules []rule } }
		if err := s.get("rules", nil, &data); err != nil {
			return err.Error(), false
		}
		ok, wrong := 0, ""
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.Health == "ok" && r.Type == "alerting" {
					ok++
				} else {
					wrong += fmt.Sprintln(r.Name, r.Health, r.LastError)
				}
			}
		}
		return wrong, ok == len(alerts(t))
	})
}

// quiet is queries of the dashboard that may have no numbers even on a bad day, and why.
var quiet = map[string]string{
	`kind="copy"`: "a standby is sent its ten copies with the first calls, before Prometheus has seen its rows twice",
}

// isQuiet is whether q is one of those.
func isQuiet(q query) bool {
	for part := range quiet {
		if strings.Contains(q.expr, part) {
			return true
		}
	}
	return false
}

// dashboard: every query is answered with numbers, the variables being what Grafana would make of them. Whatever a panel shows
// on a bad day has happened by now.
func (s *scene) dashboard(t *testing.T) {
	replace := []string{"$__rate_interval", "15s", "$__range", "5m"}
	for _, v := range readDashboard(t).Templating.List {
		if v.Definition != nil {
			replace = append(replace, "$"+v.Name, strings.Join(s.values(*v.Definition), "|"))
		}
	}
	fill := strings.NewReplacer(replace...)
	missing := queries(t)
	await(t, "numbers for every query", func() (string, bool) {
		var none []query
		var why []string
		for _, q := range missing {
			n, err := s.numbers(fill.Replace(q.expr))
			if err != nil {
				t.Fatalf("Panel %q: %v", q.panel, err)
			}
			if n == 0 && !isQuiet(q) {
				none = append(none, q)
				why = append(why, q.panel+": "+fill.Replace(q.expr))
			}
		}
		missing = none
		return strings.Join(why, "\n"), len(missing) == 0
	})
}

// lint: what the server exports is as promtool wants it.
func (s *scene) lint(t *testing.T) {
	r, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "# TYPE coredns_kms_"); n < 25 {
		t.Errorf("Only %d metrics of kms", n)
	}
	promtool(t, bytes.NewReader(text), "check", "metrics")
}
