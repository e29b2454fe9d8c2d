package kmsresponder

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"

	"github.com/prometheus/client_golang/prometheus"
)

// gathered is every metric of a pool that is not 0, one line each.
func gathered(t *testing.T, pool string, extra ...prometheus.Collector) []string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(callsTotal, callHresultsTotal, callDuration, callRetriesTotal, callFailoversTotal, hostRequestsTotal, refusedTotal)
	registry.MustRegister(extra...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			ours := false
			for _, l := range m.Label {
				ours = ours || l.GetName() == "pool" && l.GetValue() == pool
				if l.GetName() != "pool" {
					labels = append(labels, l.GetValue())
				}
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if ours && value != 0 {
				lines = append(lines, strings.TrimSpace(fmt.Sprintln(strings.TrimPrefix(f.GetName(), "coredns_kms_"), labels, value)))
			}
		}
	}
	return lines
}

func TestMetrics(t *testing.T) {
	pool := fmt.Sprintf("metrics%d.example.org", rand.Uint32()) // counters outlive a test
	m := NewMetrics(pool)
	m.Called(CallRecord{Version: kmswire.V6, Took: time.Millisecond, Retries: 1, Failovers: 2})
	m.Called(CallRecord{Version: kmswire.V4, Result: ForwardedError, HRESULT: kmswire.ClockSkew})
	m.Called(CallRecord{Version: kmswire.Version{Major: 9}, Result: ForwardedError, HRESULT: 0x80004005})
	m.Called(CallRecord{Version: kmswire.V5, Result: Failed})
	m.Asked(Ask{Host: "kms1.example.org:1688", Outcome: Answered})
	m.Asked(Ask{Host: "kms1.example.org:1688", Outcome: Silent})
	m.Asked(Ask{Host: "kms2.example.org:1688", Outcome: Answered, Copy: true})
	m.Refused(RefusedRate, alice)
	idle := GatewayCollector{Gateways: func() map[string][]*Gateway {
		var all []*Gateway
		for n := range 3 { // in front of one pool
			g := NewGateway(GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
			for range n {
				g.admission.enter(alice, noon, Limits{Connections: n, Client: n})
			}
			all = append(all, g)
		}
		return map[string][]*Gateway{pool: all}
	}}
	want := []string{
		"call_duration_seconds [] 4",
		"call_failovers_total [] 2",
		"call_hresults_total [C004F06C] 1",
		"call_hresults_total [other] 1",
		"call_retries_total [] 1",
		"calls_total [forwarded_error 4] 1",
		"calls_total [failed 5] 1",
		"calls_total [forwarded_ok 6] 1",
		"calls_total [forwarded_error other] 1",
		"host_requests_total [kms1.example.org:1688 call answered] 1",
		"host_requests_total [kms1.example.org:1688 call silent] 1",
		"host_requests_total [kms2.example.org:1688 copy answered] 1",
		"responder_connections [] 3",
		"responder_refused_total [rate] 1",
	}
	got := gathered(t, pool, idle)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestWords: every value of a label has a word of its own.
func TestWords(t *testing.T) {
	seen := make(map[string]bool)
	add := func(word string) {
		if word == "" || seen[word] || strings.ToLower(word) != word {
			t.Errorf("word %q", word)
		}
		seen[word] = true
	}
	for _, r := range Results() {
		add(r.String())
	}
	for _, o := range Outcomes() {
		if o != Declined { // a host declines, and so the call is declined
			add(o.String())
		}
	}
	for _, r := range Refusals() {
		add(r.String())
	}
	if len(Results()) != len(resultWords) || len(Outcomes()) != len(outcomeWords) || len(Refusals()) != len(refusalWords) {
		t.Error("a list is not complete")
	}
}

// TestMetricsOfHostsThatAreGone: whoever may announce hosts may do so under ever new names. Rows of those that are gone go,
// those of the others stay, and a host that comes back counts again.
func TestMetricsOfHostsThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := fmt.Sprintf("gone%d.example.org", rand.Uint32())
		const stays, comes = "192.0.2.1:1688", "192.0.2.2:1688"
		p, before, now := poolOf(hostAt(stays, 0)), NewMetrics(name), NewMetrics(name) // as before and after a reload
		g := NewGateway(GatewayConfig{Pool: p, Observer: now})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go g.keepHouse(ctx)
		before.Asked(Ask{Host: comes, Outcome: Answered})
		for n := range 2 {
			p.Enlist(hostAt(comes, 0), nil, true)
			now.Asked(Ask{Host: stays, Outcome: Answered})
			now.Asked(Ask{Host: comes, Outcome: Answered})
			time.Sleep(housekeeping + time.Second)
			want := []string{fmt.Sprintf("host_requests_total [%s call answered] %d", stays, n+1),
				fmt.Sprintf("host_requests_total [%s call answered] %d", comes, 2-n)}
			if got := gathered(t, name); !slices.Equal(got, want) {
				t.Errorf("While both are there: %q, want %q", got, want)
			}
			p.Dismiss(comes)
			time.Sleep(housekeeping + time.Second)
			if got := gathered(t, name); !slices.Equal(got, want[:1]) {
				t.Errorf("When one is gone: %q, want %q", got, want[:1])
			}
		}
	})
}
