package main

import (
	"fmt"
	"os/exec"
	"regexp"
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
	{"calls/s of HAProxy's", throughHAProxy, func(s callSample) float64 { return s.perSecond }, 1.5, false},
	{"calls/s of those without a proxy", direct, func(s callSample) float64 { return s.perSecond }, 0.7, false},
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

// targetRow is the line of the table of targets for a value that was measured.
func targetRow(name string, limit float64, most bool, measured spread, verb string) []string {
	met, bound := measured.median >= limit, "at least "
	if most {
		met, bound = measured.median <= limit, "at most "
	}
	verdict := "met"
	if !met {
		verdict = "**missed**"
	}
	return []string{name, bound + fmt.Sprintf(verb, limit), measured.with(verb), verdict}
}

// report is the section of the document.
func (r *rpcResults) report() string {
	load := [][]string{{"way", "calls/s", "proxy CPU, µs/call", "hosts' CPU, µs/call", "p50, µs", "p99, µs", "KiB/idle connection"}}
	steady := [][]string{{"way", "p50 at 1,000/s, µs", "p99 at 1,000/s, µs", "p50 at 2,000/s, µs", "p99 at 2,000/s, µs"}}
	for i, name := range wayNames {
		column := func(verb string, f func(callSample) float64) string {
			var values []float64
			for _, s := range r.calls[i] {
				values = append(values, f(s))
			}
			return spreadOf(values).with(verb)
		}
		us := func(f func(callSample) time.Duration) string {
			return column("%.0f", func(s callSample) float64 { return microseconds(f(s)) })
		}
		proxy := us(func(s callSample) time.Duration { return s.proxy })
		if i == direct {
			proxy = "none"
		}
		load = append(load, []string{
			name,
			column("%.0f", func(s callSample) float64 { return s.perSecond }),
			proxy,
			us(func(s callSample) time.Duration { return s.hosts }),
			us(func(s callSample) time.Duration { return s.busy.p50 }),
			us(func(s callSample) time.Duration { return s.busy.p99 }),
			kibibytes(r.idle[i]).with("%.1f"),
		})
		row := []string{name}
		for k := range steadyRates {
			row = append(row, us(func(s callSample) time.Duration { return s.steady[k].p50 }), us(func(s callSample) time.Duration { return s.steady[k].p99 }))
		}
		steady = append(steady, row)
	}
	targets := [][]string{{"the responder's", "wanted", "measured", ""}}
	for _, t := range rpcTargets {
		targets = append(targets, targetRow(t.name, t.limit, t.most, t.measured(r), "%.2f"))
	}
	targets = append(targets, targetRow("KiB per idle connection", idleLimit, true, kibibytes(r.idle[throughGateway]), "%.1f"))
	return fmt.Sprintf("%s%s. %d rounds of %d s at full load and at each rate, %d of idle connections; medians (least–most).\n\n%s\n%s\n%s",
		circumstances(), haproxyVersion(), r.rounds, r.seconds, idleRounds, table(load), table(steady), table(targets))
}

func kibibytes(octets []float64) spread {
	s := spreadOf(octets)
	return spread{s.median / 1024, s.least / 1024, s.most / 1024}
}

// haproxyVersion is ", HAProxy " and its version, if that can be told.
func haproxyVersion() string {
	said, _ := exec.Command("haproxy", "-v").Output()
	if m := regexp.MustCompile(`version ([0-9.]+)`).FindSubmatch(said); m != nil {
		return ", HAProxy " + string(m[1])
	}
	return ""
}
