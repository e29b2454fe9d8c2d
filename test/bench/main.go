// Command bench measures whole processes against each other, all in one run, since only ratios within a run mean anything on
// a machine that others use too. From the top of the repository:
//
//	go run ./test/bench NAME... [-rounds N] [-seconds N] [-brief] [-write]
//
// measures dns, scale, churn, rpc, detect, update, settings, or all, which is everything but settings: those are of interest to
// who changes the program. With -write it puts what it found into
// docs/performance.md. What it needs of other people's programs is installed from Debian's packages if it is missing.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A benchmark measures something, in rounds of some seconds for each who takes part.
type benchmark struct {
	name            string
	rounds, seconds int // unless others are asked for
	needs           []string
	measure         func(context.Context, bench) (finding, error)
	profile         func(context.Context, bench, string) error // writes a profile of kms into a file; nil if there is none
}

// benchmarks is in the order of the document.
var benchmarks = []benchmark{
	{"dns", 5, 2, []string{"dnsperf", "named", "knotd", "pdns_server", "gdnsd"}, benchDNS, profileDNS},
	{"scale", 5, 1, []string{"dnsperf", "named", "pdns_server"}, benchScale, nil},
	{"churn", 5, 3, []string{"dnsperf"}, benchChurn, nil},
	{"rpc", 5, 3, []string{"haproxy"}, benchRPC, profileRPC},
	{"detect", 5, 20, []string{"haproxy", "pdns_server"}, benchDetect, nil},
	{"update", 5, 2, []string{"dnsperf", "named"}, benchUpdate, nil},
	{"settings", 5, 2, []string{"dnsperf"}, benchSettings, profileSettings},
}

// bench is one run of a benchmark.
type bench struct {
	benchmark
	root     string // the top of the repository
	dir      string // what is built, by the last element of its path, and room for files
	progress io.Writer
	repeated *int // runs whose conditions were not those that are measured
}

// A finding is what a benchmark comes to.
type finding struct {
	section string            // of the document
	targets []target          // that were set
	plots   map[string]string // SVG, by the name of the file beside the document
}

// run carries out what args name; its tables go to out and its progress to progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) > 0 && args[0] == rpcHosts {
		return serveHosts(ctx, args[1:])
	}
	names := args
	if first := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }); first >= 0 {
		names = args[:first]
	}
	todo, err := named(names)
	if err != nil {
		return err
	}
	w := work{todo: todo, out: out, progress: progress}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&w.rounds, "rounds", 0, "how often each contender is measured, if not as often as usual")
	flags.IntVar(&w.seconds, "seconds", 0, "how long each time, if not as long as usual")
	flags.BoolVar(&w.write, "write", false, "put the result into "+document)
	brief := flags.Bool("brief", false, "one short round, to see that everything works: the figures mean nothing")
	flags.StringVar(&w.profile, "profile", "", "measure nothing; write a processor profile of kms at full load into this `file` (dns, rpc, or settings for both)")
	if err := flags.Parse(args[len(names):]); err != nil {
		return err
	}
	if *brief {
		w.rounds, w.seconds = 1, 1
	}
	if w.rounds < 0 || w.seconds < 0 || flags.NArg() > 0 {
		return fmt.Errorf("NAME... [-rounds N] [-seconds N] [-brief] [-write], each N from 1")
	}
	return w.do(ctx)
}

// named is the benchmarks of these names, in the order of the document.
func named(names []string) (todo []benchmark, err error) {
	known := []string{"all"}
	for _, b := range benchmarks {
		known = append(known, b.name)
		if slices.Contains(names, b.name) || slices.Contains(names, "all") && b.name != "settings" {
			todo = append(todo, b)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no benchmark is called %q; there are: %s", name, strings.Join(known, ", "))
		}
	}
	if len(todo) == 0 {
		return nil, fmt.Errorf("which benchmark? There are: %s", strings.Join(known, ", "))
	}
	return todo, nil
}
