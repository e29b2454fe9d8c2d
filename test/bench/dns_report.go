package main

import (
	"fmt"
	"slices"
)

// dnsPlot is the file with the plot of dnsFinding.
const dnsPlot = "performance-dns.svg"

// dnsFinding is what results, in the order of servers, come to. What runs in the same binary as kms is compared with that, and
// other programs with the program that people run.
func dnsFinding(servers []server, results [][]sample) finding {
	itself := slices.IndexFunc(servers, func(s server) bool { return s.name == kmsItself.name })
	figures := [][]string{{"contender", "octets", "server CPU, µs/answer", "answers/s", "p50 at 10,000/s, µs", "p99 at 10,000/s, µs", "lost, %",
		"kms answers per CPU second, times"}}
	found := finding{}
	plot := bars{title: "Server's processor time for each answer", unit: "µs, median and least to most"}
	for i, s := range servers {
		first := 0
		if s.outside {
			first = itself
		}
		samples, ratio := results[i], advantage(results[first], results[i])
		times := ratio.with("%.2f")
		if i == 0 {
			times = "1"
		}
		cpu := over(samples, func(s sample) float64 { return microseconds(s.cpu) })
		p50 := over(samples, func(s sample) float64 { return microseconds(s.latency.p50) }).with("%.0f")
		p99 := over(samples, func(s sample) float64 { return microseconds(s.latency.p99) }).with("%.0f")
		if s.slow {
			p50, p99 = "too slow", "too slow"
		}
		figures = append(figures, []string{
			s.name,
			fmt.Sprint(s.octets),
			cpu.with("%.1f"),
			over(samples, func(s sample) float64 { return s.perSecond }).with("%.0f"),
			p50,
			p99,
			over(samples, func(s sample) float64 { return 100 * s.lost }).with("%.2f"),
			times,
		})
		if !s.slow { // who would make all others look alike
			plot.bars = append(plot.bars, bar{s.name, cpu})
		}
		if s.target > 0 {
			found.targets = append(found.targets, target{name: "kms answers per CPU second, times " + s.name, limit: s.target, measured: ratio})
		}
	}
	found.section = table(figures) + image("Server's processor time for each answer", dnsPlot)
	found.plots = map[string]string{dnsPlot: plot.svg()}
	return found
}
