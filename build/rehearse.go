package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"

	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

const rehearseUsage = `Usage: coredns kms rehearse -listen ADDRESS [-ndr64]

Stands in for a KMS host, so that there is something to check and to fail: it completes the
RPC bind as a KMS host does. It activates nothing. Stop it with Ctrl-C to see a host die.

Example:
  coredns kms rehearse -listen 127.0.0.1:16881

`

// rehearse is "kms rehearse".
func rehearse(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("rehearse", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "", "address and port to listen on")
	ndr64 := flags.Bool("ndr64", false, "prefer NDR64, as hosts since Windows 8 and Server 2012 do")
	flags.Usage = func() { fmt.Fprint(flags.Output(), rehearseUsage); flags.PrintDefaults() }
	if status, ok := parseFlags(flags, args, stdout); !ok {
		return status
	}
	switch {
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "kms rehearse: unexpected %q\n", flags.Arg(0))
		return exitUsage
	case *listen == "":
		fmt.Fprint(stderr, "kms rehearse: -listen is missing, as in -listen 127.0.0.1:16881\n")
		return exitUsage
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintf(stderr, "kms rehearse: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stdout, "rehearsal KMS host on %s, until it is stopped\n", ln.Addr())
	host := kmsresponder.Rehearsal{NDR64: *ndr64}
	if err := host.Serve(ctx, ln); err != nil {
		fmt.Fprintf(stderr, "kms rehearse: %v\n", err)
		return 1
	}
	return 0
}
