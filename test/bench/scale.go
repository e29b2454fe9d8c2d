package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A size is how many hosts and zones there are, and who answers for so many.
type size struct {
	hosts, zones int
	contenders   []contender
}

var (
	fileEach = contender{name: "CoreDNS file, a zone each", command: coreDNS("coredns", records.fileEach), outside: true}

	// bindBare is BIND with more than thirteen hosts: then it adds no addresses at all.
	bindBare = contender{name: "BIND, without addresses", command: startBIND, outside: true, bare: true}
)

// The first of each size is who the others are compared with. Lua records take five seconds to come to their senses, so they are
// not everywhere; a zone file for each zone makes no difference where there is one; and a hundred hosts in ten thousand zones
// are two million records for all but kms, who keeps them once.
var sizes = []size{
	{1, 1, []contender{kmsItself, file, bind}},
	{4, 1, []contender{kmsItself, file, bind, luaShared}},
	{100, 1, []contender{kmsItself, file, bindBare}},
	{1, 100, []contender{kmsItself, file, bind}},
	{4, 100, []contender{kmsItself, file, fileEach, bind, luaShared}},
	{100, 100, []contender{kmsItself, file, bindBare}},
	{1, 10_000, []contender{kmsItself, file, bind}},
	{4, 10_000, []contender{kmsItself, file, fileEach, bind, luaShared}},
	{100, 10_000, []contender{kmsItself}},
}

// fileEach is the records in a zone file for each zone.
func (r records) fileEach() (string, error) {
	dir, err := r.zoneEach("bare", soa, nil)
	var lines strings.Builder
	for n := range r.zones {
		fmt.Fprintf(&lines, "file %s/%s %s\n", dir, strings.TrimSuffix(zone(n), "."), zone(n))
	}
	return lines.String(), err
}

// grown is what one round found of one contender of one size.
type grown struct {
	sample
	start  time.Duration // until the first right answer
	memory float64       // octets, after the load
}

// benchScale starts every contender of every size anew in each round, and measures it.
func benchScale(ctx context.Context, b bench) (finding, error) {
	if err := buildStock(ctx, b); err != nil {
		return finding{}, err
	}
	rows := [][]string{{"hosts", "zones", "contender", "octets", "server CPU, µs/answer", "answers/s", "memory, MiB", "first right answer, ms",
		"kms answers per CPU second, times"}}
	for _, s := range sizes {
		more, err := s.measure(ctx, b)
		if err != nil {
			return finding{}, fmt.Errorf("%d hosts, %d zones: %w", s.hosts, s.zones, err)
		}
		rows = append(rows, more...)
	}
	return finding{section: table(rows)}, nil
}

// measure returns a row for each contender.
func (z size) measure(ctx context.Context, b bench) (rows [][]string, err error) {
	a, err := newArena(ctx, b, z.hosts, z.zones)
	if err != nil {
		return nil, err
	}
	defer a.stop()
	results, octets := make([][]grown, len(z.contenders)), make([]int, len(z.contenders))
	for round := range b.rounds {
		for turn := range z.contenders {
			i := (turn + round) % len(z.contenders)
			c := z.contenders[i]
			err := again(b, c.name, func() error {
				g, n, err := a.grow(ctx, c, fmt.Sprintf("%d-%d-%d", i, round, len(results[i])))
				if err == nil {
					results[i], octets[i] = append(results[i], g), n
				}
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	for i, c := range z.contenders {
		rows = append(rows, z.row(c, octets[i], results[i], results[0]))
		fmt.Fprintln(b.progress, rows[len(rows)-1])
	}
	return rows, nil
}

// grow starts c and measures it, and ends it. It also returns the octets of an answer.
func (a *arena) grow(ctx context.Context, c contender, name string) (grown, int, error) {
	s, err := startServer(ctx, a.bench, c, a.records, name)
	if err != nil {
		return grown{}, 0, err
	}
	defer s.kill()
	// Every zone once beforehand: what a server makes ready at the first question is not what an answer costs.
	queries, err := a.records.queries()
	if err != nil {
		return grown{}, 0, err
	}
	if _, err := (load{port: s.port, queries: queries, seconds: 10, network: a.records.network(), once: true}).run(ctx); err != nil {
		return grown{}, 0, err
	}
	found, _, err := s.loaded(ctx, a.records, a.seconds)
	if err != nil {
		return grown{}, 0, err
	}
	memory, err := s.memory()
	return grown{sample: found, start: s.took, memory: float64(memory)}, s.octets, err
}

func (z size) row(c contender, octets int, results, kms []grown) []string {
	each := func(verb string, f func(grown) float64) string {
		var values []float64
		for _, g := range results {
			values = append(values, f(g))
		}
		return spreadOf(values).with(verb)
	}
	times := "1"
	if c.name != z.contenders[0].name {
		times = advantage(samplesOf(kms), samplesOf(results)).with("%.2f")
	}
	return []string{
		fmt.Sprint(z.hosts), fmt.Sprint(z.zones), c.name, fmt.Sprint(octets),
		each("%.1f", func(g grown) float64 { return microseconds(g.cpu) }),
		each("%.0f", func(g grown) float64 { return g.perSecond }),
		each("%.0f", func(g grown) float64 { return g.memory / (1 << 20) }),
		each("%.0f", func(g grown) float64 { return float64(g.start.Milliseconds()) }),
		times,
	}
}

func samplesOf(all []grown) (samples []sample) {
	for _, g := range all {
		samples = append(samples, g.sample)
	}
	return samples
}
