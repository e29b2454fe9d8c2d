package plugin

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/request"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestAnswersAreCountedByResult(t *testing.T) {
	for name, tt := range map[string]struct {
		hosts string
		all   config.AllDown
		qtype uint16
		want  Result
	}{
		"normal":    {"kms1.example.org=up", config.Serve, dns.TypeSRV, Normal},
		"fail open": {"kms1.example.org=down", config.Serve, dns.TypeSRV, FailOpen},
		"nodata":    {"kms1.example.org=down", config.NoData, dns.TypeSRV, NoData},
		"servfail":  {"kms1.example.org=down", config.ServFail, dns.TypeSRV, ServFail},
		"no type":   {"kms1.example.org=up", config.Serve, dns.TypeTXT, NoData},
	} {
		t.Run(name, func(t *testing.T) {
			zone := fmt.Sprintf("%s%d.example.org.", strings.ReplaceAll(name, " ", "-"), rand.Uint32()) // counters outlive a test
			s := site(t, zone, tt.hosts)
			s.AllDown = tt.all
			h := newHandler(nil, s)
			for range 3 {
				ask(t, h, newQuestion("_vlmcs._tcp."+zone, tt.qtype), false)
			}
			for r := range resultWords {
				want := 0.0
				if Result(r) == tt.want {
					want = 3
				}
				if got := testutil.ToFloat64(answersTotal.WithLabelValues("", zone, "", Result(r).String())); got != want {
					t.Errorf("%s: counted %v, want %v", Result(r), got, want)
				}
			}
		})
	}
}

func TestGauges(t *testing.T) {
	s := site(t, "example.org.", "kms1.example.org=up kms2.example.org=down kms3.example.org=suspect kms4.example.org=drained kms5.example.org=up")
	s.Pool.Enlist(config.Host{Name: "claimed.example.org.", Port: 1688}, nil, false) // who is told of by number alone
	c := Collector{Pools: func() []engine.Pool { return []engine.Pool{{Pool: s.Pool, Name: "example.org"}} }}
	want := `
# HELP coredns_kms_hosts Gauge of KMS hosts by state.
# TYPE coredns_kms_hosts gauge
coredns_kms_hosts{pool="example.org",state="claimed"} 1
coredns_kms_hosts{pool="example.org",state="down"} 1
coredns_kms_hosts{pool="example.org",state="drained"} 1
coredns_kms_hosts{pool="example.org",state="suspect"} 1
coredns_kms_hosts{pool="example.org",state="unchecked"} 0
coredns_kms_hosts{pool="example.org",state="up"} 2
# HELP coredns_kms_pool_condition Gauge that is 1 for the condition the pool is in, else 0.
# TYPE coredns_kms_pool_condition gauge
coredns_kms_pool_condition{condition="all-down",pool="example.org"} 0
coredns_kms_pool_condition{condition="calm",pool="example.org"} 0
coredns_kms_pool_condition{condition="self-suspected",pool="example.org"} 0
coredns_kms_pool_condition{condition="unsettled",pool="example.org"} 1
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "coredns_kms_hosts", "coredns_kms_pool_condition"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(c, "coredns_kms_host_up"); n != 5 {
		t.Errorf("%d hosts reported, want 5", n)
	}
	states := "# HELP coredns_kms_host_state Gauge that is 1 for the state a KMS host is in, else 0.\n# TYPE coredns_kms_host_state gauge\n"
	for i, state := range []string{"up", "down", "suspect", "drained", "up"} {
		for _, s := range []string{"unchecked", "up", "suspect", "down", "drained"} {
			states += fmt.Sprintf("coredns_kms_host_state{host=\"kms%d.example.org:1688\",pool=\"example.org\",state=%q} %v\n", i+1, s, oneIf(s == state))
		}
	}
	if err := testutil.CollectAndCompare(c, strings.NewReader(states), "coredns_kms_host_state"); err != nil {
		t.Error(err)
	}
}

// TestUpdatesAreCountedFromZero: the first UPDATE that is refused has to be an increase of something.
func TestUpdatesAreCountedFromZero(t *testing.T) {
	zone := fmt.Sprintf("counted%d.example.org.", rand.Uint32()) // counters outlive a test
	reg := prometheus.NewRegistry()
	reg.MustRegister(updatesTotal)
	rows := func(zone string) (n int) {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[1].GetValue() == zone {
					n++
				}
			}
		}
		return n
	}
	s := site(t, zone, "kms1.example.org=up")
	newHandler(nil, s)
	if n := rows(zone); n != 0 {
		t.Errorf("%d rows for a block without update, want none", n)
	}
	s.Update = &config.Update{}
	newHandler(nil, s)
	if n, other := rows(zone), rows("other"); n != len(updateWords) || other != len(updateWords) {
		t.Errorf("%d rows for a block with update and %d for other zones, want %d for both", n, other, len(updateWords))
	}
}

// TestMetricNames: every metric of the project as promlint wants it.
func TestMetricNames(t *testing.T) {
	s := site(t, "example.org.", "kms1.example.org=up")
	o := Observer{Pool: "lint"}
	o.Probed("kms1.example.org:1688", probe.Result{})
	o.Changed(pool.Transition{Host: "kms1.example.org:1688", To: pool.Up})
	ask(t, newHandler(nil, s), newQuestion(serviceOrg, dns.TypeSRV), false)
	reg := prometheus.NewRegistry()
	reg.MustRegister(Collector{Pools: func() []engine.Pool { return []engine.Pool{{Pool: s.Pool, Name: "lint"}} }},
		answersTotal, transitionsTotal, probesTotal, probeDuration)
	families, err := reg.Gather()
	if err != nil || len(families) != 9 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestProbesAndTransitionsAreCounted(t *testing.T) {
	o := Observer{Pool: fmt.Sprint("counting", rand.Uint32())}
	for _, outcome := range probe.Outcomes() {
		o.Probed("h", probe.Result{Outcome: outcome, Err: fmt.Errorf("words")})
		if got := testutil.ToFloat64(probesTotal.WithLabelValues(o.Pool, "h", outcome.String())); got != 1 {
			t.Errorf("%s: counted %v", outcome, got)
		}
	}
	for _, s := range pool.States() {
		o.Changed(pool.Transition{Host: "h", To: s})
		if got := testutil.ToFloat64(transitionsTotal.WithLabelValues(o.Pool, "h", s.String())); got != 1 {
			t.Errorf("%s: counted %v", s, got)
		}
	}
}

// TestRowsOfHostsThatAreGone: whoever may announce hosts may do so under ever new names.
func TestRowsOfHostsThatAreGone(t *testing.T) {
	o := Observer{Pool: fmt.Sprint("gone", rand.Uint32())}
	rows := func() int { return testutil.CollectAndCount(probesTotal) + testutil.CollectAndCount(transitionsTotal) }
	before := rows()
	for n := range 100 {
		endpoint := fmt.Sprintf("kms%d.example.org:1688", n)
		o.Probed(endpoint, probe.Result{Outcome: probe.Passed})
		o.Probed(endpoint, probe.Result{Outcome: probe.Timeout, Err: fmt.Errorf("words")})
		o.Changed(pool.Transition{Host: endpoint, To: pool.Up})
		o.Gone(endpoint)
	}
	if n := rows(); n != before {
		t.Errorf("%d rows more when all are gone", n-before)
	}
}

func TestMetadata(t *testing.T) {
	h := newHandler(nil, site(t, "example.org.", "kms1.example.org=suspect kms2.example.org/3=up"))
	values := func(name string) string {
		ctx := metadata.ContextWithMetadata(context.Background())
		ctx = h.Metadata(ctx, request.Request{W: &test.ResponseWriter{}, Req: newQuestion(name, dns.TypeSRV)})
		var all []string
		for _, label := range []string{"kms/zone", "kms/condition", "kms/hosts"} {
			if f := metadata.ValueFunc(ctx, label); f != nil {
				all = append(all, f())
			}
		}
		return strings.Join(all, " ")
	}
	if got, want := values("_VLMCS._tcp.Example.org."), "example.org. unsettled kms2.example.org:1688,kms1.example.org:1688"; got != want {
		t.Errorf("Got %q, want %q", got, want)
	}
	if got := values("www.example.org."); got != "" {
		t.Errorf("For a name that is not ours: %q", got)
	}
}
