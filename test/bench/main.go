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
	"os/exec"
	"os/signal"
	"path/filepath"
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

// build compiles the main packages of this module into dir, each under the last element of its path, with what the release
// build has.
func build(ctx context.Context, root, dir string, packages ...string) error {
	for _, pkg := range packages {
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", filepath.Join(dir, filepath.Base(pkg)), pkg)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

// moduleRoot is the top of the repository that the benchmark was started in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	gomod := strings.TrimSpace(string(out))
	if filepath.Base(gomod) != "go.mod" {
		return "", fmt.Errorf("not inside the repository: run it as \"go run ./test/bench\" from its top")
	}
	return filepath.Dir(gomod), nil
}
