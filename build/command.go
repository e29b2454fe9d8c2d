package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
)

// A command is one word after "coredns kms".
type command struct {
	name     string
	synopsis string // one line, what it does for whoever types it

	// run gets the arguments after the name and returns the exit status, which
	// for checks is the one of monitoring plugins: 0 OK, 1 warning, 2 critical,
	// 3 unknown. "-h" must print usage and return 0. ctx ends on SIGINT and SIGTERM.
	run func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

// commands is all that there is, in the order that help lists it. A new command
// is a row here and a file of its own.
var commands = []command{
	{"probe", "ask KMS hosts whether they serve, without being counted", probeHosts},
	{"import", "take over the KMS hosts of a zone file or of a running DNS server", importRecords},
	{"hosts", "show what the running server believes of its KMS hosts", hosts},
	{"drain", "take a KMS host out of the running server's answers", drain},
	{"undrain", "put it back", undrain},
	{"rehearse", "be a rehearsal KMS host, or clients of one, for trying things out", rehearse},
}

// exitUsage is the status for a call that was never carried out: to a monitoring
// system that is "unknown", not "critical".
const exitUsage = 3

// runCommand runs what "coredns kms args…" asks for and returns the exit status.
// The first SIGINT or SIGTERM ends the command's context; a second one kills, for
// whoever will not wait.
func runCommand(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return dispatch(ctx, commands, args, stdout, stderr)
}

// dispatch finds the command in the table and runs it.
func dispatch(ctx context.Context, table []command, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		writeHelp(stderr, table)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "-h", "-help", "--help":
		writeHelp(stdout, table)
		return 0
	case "help":
		if len(rest) == 0 {
			writeHelp(stdout, table)
			return 0
		}
		name, rest = rest[0], []string{"-h"}
	}
	for _, c := range table {
		if c.name == name {
			return c.run(ctx, rest, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "kms: unknown command %q; there is: %s\n", name, strings.Join(names(table), ", "))
	return exitUsage
}

func writeHelp(w io.Writer, table []command) {
	fmt.Fprint(w, "Usage: coredns kms COMMAND [ARGUMENT...]\n\nCommands:\n")
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, c := range table {
		fmt.Fprintf(columns, "  %s\t%s\n", c.name, c.synopsis)
	}
	fmt.Fprint(columns, "  help [COMMAND]\tlist the commands, or explain one\n")
	columns.Flush()
}

// names lists every word that dispatch takes.
func names(table []command) []string {
	var list []string
	for _, c := range table {
		list = append(list, c.name)
	}
	return append(list, "help")
}
