// Command chaos runs the real server for a while, with everything going wrong around it, and checks that what is promised holds
// all the while. As root, from the top of the repository:
//
//	go run ./test/chaos [-for 10m] [-seed N] [-json] [-write] [-log FILE]
//
// Hosts are killed, hung, slowed, cut off and drained; the server's clock is stepped, its disk filled, its resolver broken, its
// Corefile replaced by good and bad ones, and it is killed itself; meanwhile hosts announce themselves, and clients ask and
// call. What goes wrong when is drawn from the seed. A broken promise is printed with what happened before, and the exit
// status is 1.
//
// Everything runs in namespaces (network, mounts, processes) of a second process that this one starts and that all others
// descend from: when it ends, however it ends, the kernel takes all of it away.
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

// document is where the report of a long run is kept, below the top of the repository.
const document = "docs/reliability.md"

// options are what the command line says.
type options struct {
	length time.Duration
	seed   uint64
	json   bool
	write  bool
	log    string
}

const (
	shortest = 2 * time.Minute // shorter, there is no time for anything to go wrong
	longest  = 24 * time.Hour
)

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.DurationVar(&o.length, "for", 10*time.Minute, "how long to run")
	flags.Uint64Var(&o.seed, "seed", 0, "what the faults are drawn from; 0 for another one each time")
	flags.BoolVar(&o.json, "json", false, "print the report for programs")
	flags.BoolVar(&o.write, "write", false, "put the report into "+document)
	flags.StringVar(&o.log, "log", "", "a file for the server's log")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected %q: there are flags only", flags.Arg(0))
	case o.length < shortest || o.length > longest:
		return o, fmt.Errorf("-for %s: from %s to %s", o.length, shortest, longest)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1<<32) + 1
	}
	return o, nil
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}
