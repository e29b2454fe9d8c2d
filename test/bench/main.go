// Command bench measures whole processes against each other, all in one run, since only ratios within a run mean anything on
// a machine that others use too. From the top of the repository:
//
//	go run ./test/bench dns [-rounds N] [-seconds N] [-write]
//	go run ./test/bench rpc [-rounds N] [-seconds N] [-write]
//	go run ./test/bench update [-rounds N] [-seconds N] [-write]
//
// With -write it puts what it found into docs/performance.md.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
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

// document is where results are kept, below the top of the repository.
const document = "docs/performance.md"

// run carries out the benchmark that args name; its table goes to out and its progress to progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "dns":
			return benchDNS(ctx, args[1:], out, progress)
		case "rpc":
			return benchRPC(ctx, args[1:], out, progress)
		case "update":
			return benchUpdate(ctx, args[1:], out, progress)
		case rpcHosts:
			return serveHosts(ctx, args[1:])
		}
	}
	return fmt.Errorf("which benchmark? There are: dns, rpc, update")
}
