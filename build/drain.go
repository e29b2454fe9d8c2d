package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/control"

	"github.com/urfave/cli/v3"
)

const drainText = `Takes a KMS host out of every answer of the running server, whatever its health, until it is
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
  coredns kms drain -socket /run/kms/control.sock kms1.example.org:1689`

const undrainText = `Puts a KMS host back that "kms drain" took out of the running server's answers. It was probed
all the while, and counts for what it is.

Exit status:
  0  done
  1  done, with a warning: it could not be stored
  2  not done: the server says why
  3  nothing is known: the server could not be asked, or a wrong call

Example:
  coredns kms undrain kms1.example.org`

// drainCommand is "kms drain".
func drainCommand() *cli.Command {
	return &cli.Command{
		Name:          "drain",
		Usage:         "take a KMS host out of the running server's answers",
		UsageText:     "coredns kms drain [-socket PATH] [-why TEXT] [-json] HOST[:PORT]",
		Description:   drainText,
		Flags:         decisionFlags(),
		ShellComplete: argumentHosts(func(state string) bool { return state != "drained" }),
		Action:        decides(control.Client.Drain),
	}
}

// undrainCommand is "kms undrain".
func undrainCommand() *cli.Command {
	return &cli.Command{
		Name:          "undrain",
		Usage:         "put a KMS host back that was drained",
		UsageText:     "coredns kms undrain [-socket PATH] [-why TEXT] [-json] HOST[:PORT]",
		Description:   undrainText,
		Flags:         decisionFlags(),
		ShellComplete: argumentHosts(func(state string) bool { return state == "drained" }),
		Action:        decides(control.Client.Undrain),
	}
}

func decisionFlags() []cli.Flag {
	return []cli.Flag{socketFlag(), &cli.StringFlag{Name: "why", Usage: "`TEXT` for those who come later"}, jsonFlag()}
}

// decides tells the server to do something to one host.
func decides(do func(control.Client, context.Context, control.Request) (control.Decision, error)) cli.ActionFunc {
	return does(func(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
		if cmd.NArg() != 1 || cmd.Args().First() == "" {
			return statusUnknown, misuse("%d hosts: coredns kms %s HOST takes one", cmd.NArg(), cmd.Name)
		}
		d, err := do(server(cmd), ctx, control.Request{Host: cmd.Args().First(), Why: cmd.String("why"), By: askedBy()})
		if err != nil {
			return refusal(err), err
		}
		s := statusOK
		if len(d.Warnings) > 0 {
			s = statusWarning
		}
		if cmd.Bool("json") {
			return s, writeJSON(cmd.Writer, s, d)
		}
		return s, writeDecision(cmd.Writer, cmd.ErrWriter, cmd.Name, d)
	})
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
