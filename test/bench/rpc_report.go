package main

import (
	"fmt"
	"time"
)

// rpcTarget is something that the gateway shall reach against another way, round by round.
type rpcTarget struct {
	name  string
	than  int // a way
	value func(callSample) float64
	limit float64 // of the gateway's value in the other's
	most  bool    // the limit is not to be exceeded; otherwise it is to be reached
}

var rpcTargets = []rpcTarget{
	{"calls/s of HAProxy's", throughHAProxy, func(s callSample) float64 { return s.perSecond }, 1.6, false},
	{"calls/s of those without a proxy", direct, func(s callSample) float64 { return s.perSecond }, 0.75, false},
	{"p99 at full load of HAProxy's", throughHAProxy, func(s callSample) float64 { return microseconds(s.busy.p99) }, 1, true},
	{"CPU per call of HAProxy's", throughHAProxy, func(s callSample) float64 { return microseconds(s.proxy) }, 0.85, true},
	{"p99 at 1,000/s of HAProxy's", throughHAProxy, func(s callSample) float64 { return microseconds(s.steady[0].p99) }, 1, true},
	{"p99 at 2,000/s of HAProxy's", throughHAProxy, func(s callSample) float64 { return microseconds(s.steady[1].p99) }, 1, true},
}

// idleLimit is what an idle connection may cost the gateway, in KiB.
const idleLimit = 16

// measured is the spread of the ratio over all rounds: what disturbs the machine during a round disturbs both.
func (t rpcTarget) measured(r *rpcResults) spread {
	var ratios []float64
	for i, s := range r.calls[throughGateway] {
		ratios = append(ratios, t.value(s)/t.value(r.calls[t.than][i]))
	}
	return spreadOf(ratios)
}

// finding is what was measured, for the document.
func (r *rpcResults) finding() finding {
	load := [][]string{{"way", "calls/s", "proxy CPU, µs/call", "hosts' CPU, µs/call", "p50, µs", "p99, µs", "KiB/idle connection"}}
	steady := [][]string{{"way", "proxy CPU at 1,000/s, µs/call", "p50 at 1,000/s, µs", "p99 at 1,000/s, µs",
		"proxy CPU at 2,000/s, µs/call", "p50 at 2,000/s, µs", "p99 at 2,000/s, µs"}}
	for i, name := range wayNames {
		column := func(verb string, f func(callSample) float64) string { return r.of(i, f).with(verb) }
		us := func(f func(callSample) time.Duration) string {
			return column("%.0f", func(s callSample) float64 { return microseconds(f(s)) })
		}
		proxy := func(f func(callSample) used) string {
			if i == direct {
				return "none"
			}
			return us(func(s callSample) time.Duration { return f(s).proxy })
		}
		load = append(load, []string{
			name,
			column("%.0f", func(s callSample) float64 { return s.perSecond }),
			proxy(func(s callSample) used { return s.used }),
			us(func(s callSample) time.Duration { return s.hosts }),
			us(func(s callSample) time.Duration { return s.busy.p50 }),
			us(func(s callSample) time.Duration { return s.busy.p99 }),
			kibibytes(r.idle[i]).with("%.1f"),
		})
		row := []string{name}
		for k := range steadyRates {
			row = append(row, proxy(func(s callSample) used { return s.steady[k].used }),
				us(func(s callSample) time.Duration { return s.steady[k].p50 }), us(func(s callSample) time.Duration { return s.steady[k].p99 }))
		}
		steady = append(steady, row)
	}
	found := finding{section: table(load) + "\n" + table(steady) + "\n" + r.shareTable() + image("Latency of calls by rate", rpcPlot),
		plots: map[string]string{rpcPlot: r.plot().svg()}}
	for _, t := range rpcTargets {
		found.targets = append(found.targets, target{"responder: " + t.name, t.limit, t.most, t.measured(r)})
	}
	found.targets = append(found.targets, target{"responder: KiB per idle connection", idleLimit, true, kibibytes(r.idle[throughGateway])})
	return found
}

// rpcPlot is the file with the plot of latencies.
const rpcPlot = "performance-rpc.svg"

// of is the spread of f over the rounds of way i.
func (r *rpcResults) of(i int, f func(callSample) float64) spread {
	var values []float64
	for _, s := range r.calls[i] {
		values = append(values, f(s))
	}
	return spreadOf(values)
}

// shareTable is the latency at each share of what a way bore.
func (r *rpcResults) shareTable() string {
	rows := [][]string{{"way", "of its calls/s at full load", "calls/s", "p50, µs", "p99, µs"}}
	for i, name := range wayNames {
		for k, share := range shares {
			rows = append(rows, []string{
				name, fmt.Sprintf("%.0f %%", 100*share),
				r.of(i, func(s callSample) float64 { return share * s.perSecond }).with("%.0f"),
				r.of(i, func(s callSample) float64 { return microseconds(s.share[k].p50) }).with("%.0f"),
				r.of(i, func(s callSample) float64 { return microseconds(s.share[k].p99) }).with("%.0f"),
			})
		}
	}
	return table(rows)
}

// plot is the same as curves.
func (r *rpcResults) plot() curves {
	p := curves{title: "Latency of calls at a steady rate, counted from when each was to begin (medians of rounds)", across: "calls/s", up: "µs"}
	for i, name := range wayNames {
		p50, p99 := curve{name: name + ", p50", colour: i}, curve{name: name + ", p99", colour: i, dashed: true}
		for k, share := range shares {
			x := r.of(i, func(s callSample) float64 { return share * s.perSecond }).median
			p50.points = append(p50.points, [2]float64{x, r.of(i, func(s callSample) float64 { return microseconds(s.share[k].p50) }).median})
			p99.points = append(p99.points, [2]float64{x, r.of(i, func(s callSample) float64 { return microseconds(s.share[k].p99) }).median})
		}
		p.curves = append(p.curves, p50, p99)
	}
	return p
}

func kibibytes(octets []float64) spread {
	s := spreadOf(octets)
	return spread{s.median / 1024, s.least / 1024, s.most / 1024}
}
