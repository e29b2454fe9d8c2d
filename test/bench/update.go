package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
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
	rounds, seconds int
	names           []string
	samples         [][]updateSample
}

// benchUpdate measures every server in each of several rounds.
func benchUpdate(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("bench update", flag.ContinueOnError)
	r := updateResults{}
	flags.IntVar(&r.rounds, "rounds", 5, "how often each server is measured")
	flags.IntVar(&r.seconds, "seconds", 3, "how long each time")
	write := flags.Bool("write", false, "put the result into "+document)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if r.rounds < 1 || r.seconds < 1 || flags.NArg() > 0 {
		return fmt.Errorf("update [-rounds N] [-seconds N] [-write], each N from 1")
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	// Not in /tmp, which may be in memory: what is compared is durable.
	dir, err := os.MkdirTemp(root, ".bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(progress, "building")
	if err := build(ctx, root, dir, "./build"); err != nil {
		return err
	}
	a, err := newUpdateArena(ctx, dir, filepath.Join(dir, "build"))
	if err != nil {
		return err
	}
	defer a.stop()
	if err := r.measure(ctx, a, progress); err != nil {
		return err
	}
	section := r.report()
	fmt.Fprint(out, section)
	if *write {
		return replaceSection(filepath.Join(root, document), "bench update", section)
	}
	return nil
}

// measure measures every server, after a short run that does not count, once in each round. Every round begins with another.
func (r *updateResults) measure(ctx context.Context, a *updateArena, progress io.Writer) error {
	r.samples = make([][]updateSample, len(a.servers))
	for _, s := range a.servers {
		r.names = append(r.names, s.name)
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
			fmt.Fprintf(progress, "round %d: %-5s %6.0f and %6.0f updates/s; %6.0f answers/s, %6.0f beside %6.0f updates/s\n", round+1,
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
