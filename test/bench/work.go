package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/coredns-kms/coredns-kms/test/repository"
)

// document is where results are kept, below the top of the repository.
const document = "docs/performance.md"

// work is the benchmarks of one run.
type work struct {
	todo            []benchmark
	rounds, seconds int // 0: what each has
	write           bool
	profile         string // a file; "" to measure
	out, progress   io.Writer
}

// do installs what is missing, builds, and carries out one benchmark after the other. What was found is written down at once:
// a later one that fails takes nothing with it.
func (w work) do(ctx context.Context) error {
	root, err := repository.Root(ctx)
	if err != nil {
		return err
	}
	// Not in /tmp, which may be in memory: part of what is compared is durable.
	dir, err := os.MkdirTemp(root, ".bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := install(ctx, w.todo, w.progress); err != nil {
		return err
	}
	fmt.Fprintln(w.progress, "building")
	if err := repository.Build(ctx, root, dir, "./build", "./test/bench/server"); err != nil {
		return err
	}
	var reached []target
	for _, b := range w.todo {
		one := bench{benchmark: b, root: root, dir: dir, progress: w.progress, repeated: new(int)}
		if w.rounds > 0 {
			one.rounds = w.rounds
		}
		if w.seconds > 0 {
			one.seconds = w.seconds
		}
		found, err := w.one(ctx, one)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		reached = append(reached, found.targets...)
	}
	if len(w.todo) > 1 && w.profile == "" {
		return w.publish(root, "targets", finding{section: targetReport(reached)})
	}
	return nil
}

// one carries out one benchmark.
func (w work) one(ctx context.Context, b bench) (finding, error) {
	if w.profile != "" {
		if b.benchmark.profile == nil {
			return finding{}, fmt.Errorf("it has no profile: dns, rpc and settings have")
		}
		return finding{}, b.benchmark.profile(ctx, b, w.profile)
	}
	began := time.Now()
	fmt.Fprintf(w.progress, "%s: %d rounds of %d s\n", b.name, b.rounds, b.seconds)
	found, err := b.measure(ctx, b)
	if err != nil {
		return finding{}, err
	}
	fmt.Fprintf(w.progress, "%s: took %s\n", b.name, time.Since(began).Round(time.Second))
	found.section = circumstances(b) + "\n\n" + found.section
	if len(found.targets) > 0 {
		found.section += "\n" + targetTable(found.targets)
	}
	return found, w.publish(b.root, b.name, found)
}

// publish prints what was found and, if that is asked for, puts it into the document.
func (w work) publish(root, name string, found finding) error {
	fmt.Fprint(w.out, found.section)
	if !w.write {
		return nil
	}
	for plot, svg := range found.plots {
		if err := os.WriteFile(filepath.Join(root, filepath.Dir(document), plot), []byte(svg), 0o644); err != nil {
			return err
		}
	}
	return repository.ReplaceSection(filepath.Join(root, document), "bench "+name, found.section)
}
