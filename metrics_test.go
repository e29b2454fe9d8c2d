package kms

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/kmsresponder"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// value is that of the metric of one of ours that has no other row.
func value(t *testing.T, name string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("No %s, or several", name)
	return 0
}

// TestLedgerMetrics: they count what the responder passed on, over a restart too, and are gone with it.
func TestLedgerMetrics(t *testing.T) {
	k := keep(t)
	a, b, port := freePort(t), freePort(t), freePort(t)
	text := responding(0, port, []int{a, b}, "", k.lines())
	s := start(t, text)
	eventually(t, fmt.Sprintf("kms1.example.org:%d up, kms2.example.org:%d up", a, b), states)
	if last := value(t, "coredns_kms_last_call_timestamp_seconds"); last != 0 {
		t.Errorf("The last call was at %v, want 0: there was none", last)
	}
	began := float64(time.Now().UnixMilli()) / 1000
	clients(7, port).Round(t.Context(), nil)
	counted := func() string {
		text := "# HELP coredns_kms_clients Gauge of clients in the ledger.\n# TYPE coredns_kms_clients gauge\ncoredns_kms_clients 7\n"
		text += "# HELP coredns_kms_host_clients Gauge of distinct clients that a KMS host was sent requests of in the last 30 days, " +
			"as the ledger has it. The host's own count may be higher.\n# TYPE coredns_kms_host_clients gauge\n"
		for i, n := range []int{7, 0} {
			text += fmt.Sprintf("coredns_kms_host_clients{host=\"kms%d.example.org:%d\",pool=\"example.org\"} %d\n", i+1, []int{a, b}[i], n)
		}
		err := testutil.CollectAndCompare(ledgerCollector{}, strings.NewReader(text), "coredns_kms_clients", "coredns_kms_host_clients")
		if err != nil {
			return err.Error()
		}
		return "as wanted"
	}
	eventually(t, "as wanted", counted)
	last := value(t, "coredns_kms_last_call_timestamp_seconds")
	if now := float64(time.Now().UnixMilli()) / 1000; last < began || last > now {
		t.Errorf("The last call was at %v, want it from %v to %v", last, began, now)
	}

	s.stop()
	s = start(t, text)
	if got := counted(); got != "as wanted" {
		t.Errorf("After a restart: %s", got)
	}
	if again := value(t, "coredns_kms_last_call_timestamp_seconds"); again != last {
		t.Errorf("After a restart the last call was at %v, want %v", again, last)
	}
	if err := s.reload(corefile(0, []int{a, b}, nil, k.lines())); err != nil {
		t.Fatal(err)
	}
	if n := testutil.CollectAndCount(ledgerCollector{}); n != 0 {
		t.Errorf("%d rows without a responder, want none", n)
	}
}

// described is the labels of every metric of ours that is registered, by its name.
func described(t *testing.T) map[string]string {
	t.Helper()
	ch := make(chan *prometheus.Desc, 1000)
	prometheus.DefaultRegisterer.(*prometheus.Registry).Describe(ch)
	close(ch)
	form := regexp.MustCompile(`fqName: "(coredns_kms_\w+)".*variableLabels: \{(.*?)\}`)
	all := make(map[string]string)
	for d := range ch {
		if m := form.FindStringSubmatch(d.String()); m != nil {
			all[m[1]] = strings.ReplaceAll(m[2], ",", ", ")
		}
	}
	if len(all) < 20 {
		t.Fatalf("Only %d metrics are registered: %v", len(all), all)
	}
	return all
}

// TestMetricsAreWellMade: every metric that is registered, with rows of a server that does all it can, as promlint wants it.
func TestMetricsAreWellMade(t *testing.T) {
	k := keep(t)
	a, port := freePort(t), freePort(t)
	text := responding(0, port, []int{a}, "", k.lines()+"ns ns1.example.org\n update {\n allow 127.0.0.0/8\n }\n")
	s := start(t, strings.Replace(text, "kms {", "transfer {\n to *\n }\n kms {", 1))
	eventually(t, fmt.Sprintf("kms1.example.org:%d up", a), states)
	s.ask(service)
	s.transfer()
	clients(1, port).Round(t.Context(), nil)
	kmsresponder.NewMetrics("lint").Called(kmsresponder.CallRecord{Result: kmsresponder.ForwardedError, HRESULT: kmswire.ClockSkew})

	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	missing := described(t)
	ours := families[:0]
	for _, f := range families {
		if _, ok := missing[f.GetName()]; ok {
			ours = append(ours, f)
			delete(missing, f.GetName())
		}
	}
	for name := range missing {
		t.Errorf("%s has no row: have the server of this test make one", name)
	}
	problems, err := promlint.NewWithMetricFamilies(ours).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestMetricsAreDocumented: each stands in README.md with its labels, and nothing stands there that is not.
func TestMetricsAreDocumented(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	registered := described(t)
	for name, labels := range registered {
		want := "`" + name + "`"
		if labels != "" {
			want = "`" + name + "{" + labels + "}`"
		}
		if !strings.Contains(section, want) {
			t.Errorf("README.md does not say what %s is", want)
		}
	}
	for _, name := range regexp.MustCompile(`\bcoredns_kms_\w+`).FindAllString(section, -1) {
		if _, ok := registered[name]; !ok {
			t.Errorf("README.md has %s, which is not registered", name)
		}
	}
}
