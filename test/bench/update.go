package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// updatesAtOnce are how many updates are under way.
var updatesAtOnce = [...]int{1, announcers}

// updateSample is what one round found of one server.
type updateSample struct {
	perSecond [len(updatesAtOnce)]float64 // updates
	cpu       [len(updatesAtOnce)]time.Duration

	answers    float64 // answers a second while nothing changes
	answersToo float64 // and while updates arrive as fast as they are taken
	updatesToo float64 // which is so many a second
}

// updateResults is everything that was found, by server.
type updateResults struct {
	bench
	names   []string
	octets  []int // of each one's answer
	samples [][]updateSample
}

// benchUpdate measures every server in each of several rounds.
func benchUpdate(ctx context.Context, b bench) (finding, error) {
	a, err := newUpdateArena(ctx, b.dir, filepath.Join(b.dir, "build"))
	if err != nil {
		return finding{}, err
	}
	defer a.stop()
	r := updateResults{bench: b}
	if err := r.measureAll(ctx, a); err != nil {
		return finding{}, err
	}
	return finding{section: r.report()}, nil
}

// measureAll measures every server, after a short run that does not count, once in each round. Every round begins with another.
func (r *updateResults) measureAll(ctx context.Context, a *updateArena) error {
	r.samples = make([][]updateSample, len(a.servers))
	for _, s := range a.servers {
		r.names, r.octets = append(r.names, s.name), append(r.octets, s.octets)
	}
	for round := -1; round < r.rounds; round++ {
		for turn := range a.servers {
			i := (turn + max(round, 0)) % len(a.servers)
			seconds := r.seconds
			if round < 0 {
				seconds = 1
			}
			s, err := a.measure(ctx, a.servers[i], seconds)
			if err != nil {
				return fmt.Errorf("%s: %w", a.servers[i].name, err)
			}
			if round < 0 {
				continue
			}
			fmt.Fprintf(r.progress, "round %d: %-5s %6.0f and %6.0f updates/s; %6.0f answers/s, %6.0f beside %6.0f updates/s\n", round+1,
				a.servers[i].name, s.perSecond[0], s.perSecond[1], s.answers, s.answersToo, s.updatesToo)
			r.samples[i] = append(r.samples[i], s)
		}
	}
	return nil
}

func (a *updateArena) measure(ctx context.Context, s updateServer, seconds int) (sample updateSample, err error) {
	lasting := time.Duration(seconds) * time.Second
	for i, n := range updatesAtOnce {
		before, err := s.cpu()
		if err != nil {
			return sample, err
		}
		done, took, err := a.announce(ctx, s, n, lasting)
		if err != nil {
			return sample, err
		}
		after, err := s.cpu()
		if err != nil {
			return sample, err
		}
		sample.perSecond[i] = float64(done) / took.Seconds()
		sample.cpu[i] = (after - before) / time.Duration(max(done, 1))
	}
	quiet, err := load{port: s.port, queries: a.queries, seconds: seconds}.run(ctx)
	if err != nil {
		return sample, err
	}
	sample.answers = quiet.perSecond
	// The updates begin before the questions and end after them.
	type outcomeOf struct {
		perSecond float64
		err       error
	}
	updates := make(chan outcomeOf, 1)
	go func() {
		done, took, err := a.announce(ctx, s, announcers, lasting+time.Second)
		updates <- outcomeOf{float64(done) / took.Seconds(), err}
	}()
	busy, err := load{port: s.port, queries: a.queries, seconds: seconds}.run(ctx)
	u := <-updates
	if err == nil {
		err = u.err
	}
	sample.answersToo, sample.updatesToo = busy.perSecond, u.perSecond
	return sample, err
}
