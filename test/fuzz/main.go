// Command fuzz runs every fuzz test of the repository for a time, and says what came of each. From anywhere below its top:
//
//	go run ./test/fuzz [-for 10m] [-only REGEXP] [-beside 2] [-write]
//
// One that finds something fails, and leaves what it found in its package's testdata/fuzz, where every later "go test" tries it
// again. With -write the table goes into docs/reliability.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/test/repository"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// run runs what args name; the table goes to out and the progress to progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	flags.SetOutput(progress)
	each := flags.Duration("for", 10*time.Second, "`DURATION` of each fuzz test, at least 1s")
	only := flags.String("only", "", "only those whose package and name, as in internal/pool.FuzzHealth, match `REGEXP`")
	beside := flags.Int("beside", 2, "how many run at the same time, with one worker each: the number of cores to be used")
	write := flags.Bool("write", false, "put the table into "+document)
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*only)
	switch {
	case err != nil:
		return err
	case *each < time.Second || *beside < 1 || flags.NArg() > 0:
		return errors.New("-for takes at least 1s, -beside at least 1, and nothing comes after the flags")
	}
	root, err := repository.Root(ctx)
	if err != nil {
		return err
	}
	all, err := findTargets(root)
	if err != nil {
		return err
	}
	var targets []target
	for _, t := range all {
		if wanted.MatchString(t.String()) {
			targets = append(targets, t)
		}
	}
	if len(targets) == 0 {
		return fmt.Errorf("no fuzz test matches %q", *only)
	}
	results := runAll(ctx, root, targets, *each, *beside, progress)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	commit := repository.Commit(ctx, root)
	fmt.Fprint(out, report(results, *each, *beside, commit))
	if *write {
		err = repository.ReplaceSection(filepath.Join(root, document), "fuzz", report(results, *each, *beside, commit))
	}
	failed := 0
	for _, r := range results {
		if r.failed {
			failed++
		}
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d fuzz tests failed", failed, len(results)))
	}
	return err
}

// runAll runs targets, some side by side, and returns what came of them in their order.
func runAll(ctx context.Context, root string, targets []target, each time.Duration, beside int, progress io.Writer) []result {
	results := make([]result, len(targets))
	next := make(chan int)
	var mu sync.Mutex // progress
	var running sync.WaitGroup
	for range beside {
		running.Go(func() {
			for i := range next {
				r := fuzz(ctx, root, targets[i], each)
				results[i] = r
				mu.Lock()
				if r.failed && ctx.Err() == nil {
					fmt.Fprintln(progress, r.text)
				}
				fmt.Fprintln(progress, r)
				mu.Unlock()
			}
		})
	}
	for i := range targets {
		if ctx.Err() == nil {
			next <- i
		}
	}
	close(next)
	running.Wait()
	return results
}

// patience is how long more than it should a fuzz test may take: it is built first, and tries its corpus.
const patience = 10 * time.Minute

// fuzz runs one.
func fuzz(ctx context.Context, root string, t target, each time.Duration) result {
	ctx, cancel := context.WithTimeout(ctx, each+patience)
	defer cancel()
	// To make an input smaller that has merely reached new code is worth little, and may take a minute each time.
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+each.String(),
		"-fuzzminimizetime=1s", "-parallel=1", "./"+t.dir)
	cmd.Dir = root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	text, err := cmd.CombinedOutput()
	r := result{target: t, took: time.Since(began), text: string(text), failed: err != nil}
	r.read()
	return r
}
