package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/control"
)

const drainUsage = `Usage: coredns kms drain [-socket PATH] [-why TEXT] [-json] HOST[:PORT]

Takes a KMS host out of every answer of the running server, whatever its health, until it is
put back by "kms undrain". It is still probed. With a store in the Corefile this outlives
restarts; it is kept with who did it, why and when.

The server is asked at its control socket: the Corefile needs a line "control PATH" in a kms
block, and whoever may write to the socket may drain.

Exit status:
  0  done
  1  done, with a warning: nobody is left to answer with, or it could not be stored
  2  not done: the server says why
  3  nothing is known: the server could not be asked, or a wrong call

Examples:
  coredns kms drain -why "new disks on Tuesday" kms1.example.org
  coredns kms drain -socket /run/kms/control.sock kms1.example.org:1689

`

const undrainUsage = `Usage: coredns kms undrain [-socket PATH] [-why TEXT] [-json] HOST[:PORT]

Puts a KMS host back that "kms drain" took out of the running server's answers. It was probed
all the while, and counts for what it is.

Exit status:
  0  done
  1  done, with a warning: it could not be stored
  2  not done: the server says why
  3  nothing is known: the server could not be asked, or a wrong call

Example:
  coredns kms undrain kms1.example.org

`

// drain is "kms drain".
func drain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return decide(ctx, "drain", drainUsage, args, stdout, stderr, control.Client.Drain)
}

// undrain is "kms undrain".
func undrain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return decide(ctx, "undrain", undrainUsage, args, stdout, stderr, control.Client.Undrain)
}

// decide tells the server to do something to the one host that args name.
func decide(ctx context.Context, name, usage string, args []string, stdout, stderr io.Writer,
	do func(control.Client, context.Context, control.Request) (control.Decision, error)) int {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	socket := socketFlag(flags)
	why := flags.String("why", "", "for those who come later")
	asJSON := flags.Bool("json", false, "print JSON")
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage); flags.PrintDefaults() }
	if status, ok := parseFlags(flags, args, stdout); !ok {
		return status
	}
	host, rest := flags.Arg(0), flags.Args()
	if len(rest) > 1 { // flags may stand behind the host, too
		if flags.Parse(rest[1:]) != nil {
			return exitUsage
		}
		rest = append(rest[:1:1], flags.Args()...)
	}
	if len(rest) != 1 || host == "" {
		complain(stderr, name, fmt.Errorf("%d hosts: coredns kms %s HOST takes one", len(rest), name))
		return exitUsage
	}
	d, err := do(control.Client{Socket: *socket}, ctx, control.Request{Host: host, Why: *why, By: askedBy()})
	if err != nil {
		complain(stderr, name, err)
		if refused := new(control.RefusedError); errors.As(err, &refused) {
			return int(statusCritical)
		}
		return int(statusUnknown)
	}
	s := statusOK
	if len(d.Warnings) > 0 {
		s = statusWarning
	}
	if *asJSON {
		err = writeJSON(stdout, s, d)
	} else {
		err = writeDecision(stdout, stderr, name, d)
	}
	if err != nil {
		complain(stderr, name, err)
		return int(statusUnknown)
	}
	return int(s)
}

func writeDecision(stdout, stderr io.Writer, name string, d control.Decision) error {
	done := map[string]string{"drain": "drained", "undrain": "put back"}[name]
	where := "in no pool"
	if len(d.Pools) > 0 {
		where = "in pool " + strings.Join(d.Pools, ", ")
	}
	lines := []string{fmt.Sprintf("%s is %s, %s", d.Host, done, where)}
	for _, n := range d.Notes {
		lines = append(lines, "  "+n)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(stdout, printable(l)); err != nil {
			return err
		}
	}
	for _, w := range d.Warnings {
		complain(stderr, name, errors.New("warning: "+w))
	}
	return nil
}

// writeJSON prints what a server answered, and the status of a check beside it.
func writeJSON(w io.Writer, s status, answer any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	all := make(map[string]json.RawMessage)
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	all["status"] = json.RawMessage(`"` + s.String() + `"`)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(all)
}
