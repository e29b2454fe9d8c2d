package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v3"
)

// The library prints help for -h through this variable and has no other place for it. Its own spells flags with two dashes.
func init() {
	cli.HelpPrinter = func(w io.Writer, _ string, data any) { writeHelp(w, data.(*cli.Command)) }
}

// helpCommand is "kms help": the library's would print nothing but what it finds, and end the process if there is nothing.
func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "list the commands, or explain one",
		UsageText: "coredns kms help [COMMAND]",
		Description: `Exit status: 0, or 3 if there is no such command.

Example:
  coredns kms help probe`,
		ShellComplete: func(_ context.Context, cmd *cli.Command) {
			for _, c := range cmd.Root().VisibleCommands() {
				fmt.Fprintf(cmd.Writer, "%s\t%s\n", c.Name, c.Usage)
			}
		},
		Action: does(help),
	}
}

func help(_ context.Context, cmd *cli.Command) (exitStatus, error) {
	if !cmd.Args().Present() {
		writeHelp(cmd.Writer, cmd.Root())
		return statusOK, nil
	}
	about := cmd.Root().Command(cmd.Args().First())
	if about == nil {
		return statusUnknown, unknownCommand(cmd.Root(), cmd.Args().First())
	}
	writeHelp(cmd.Writer, about)
	return statusOK, nil
}

// helpWidth is to where help goes, in columns: what its texts are broken at by hand.
const helpWidth = 100

// writeHelp explains cmd, or lists the commands if it is the root.
func writeHelp(w io.Writer, cmd *cli.Command) {
	fmt.Fprintf(w, "Usage: %s\n", strings.ReplaceAll(cmd.UsageText, "\n", "\n       "))
	if cmd.Description != "" {
		fmt.Fprintf(w, "\n%s\n", cmd.Description)
	}
	if cmd == cmd.Root() {
		fmt.Fprint(w, "\nCommands:\n")
		columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		for _, c := range cmd.VisibleCommands() {
			fmt.Fprintf(columns, "  %s\t%s\n", c.Name, c.Usage)
		}
		fmt.Fprint(columns, "  help [COMMAND]\tlist the commands, or explain one\n")
		columns.Flush()
		return
	}
	fmt.Fprint(w, "\nFlags, which may stand anywhere and have one dash or two:\n")
	for _, f := range describeFlags(cmd) {
		lines := wrap(f.text, helpWidth-24)
		if len(f.synopsis) > 20 {
			fmt.Fprintf(w, "  %s\n%24s%s\n", f.synopsis, "", lines[0])
		} else {
			fmt.Fprintf(w, "  %-20s  %s\n", f.synopsis, lines[0])
		}
		for _, l := range lines[1:] {
			fmt.Fprintf(w, "%24s%s\n", "", l)
		}
	}
}

// flagText is what there is to be said of a flag.
type flagText struct {
	names    []string // without dashes
	takes    string   // what it takes, as in DURATION; "" if nothing
	synopsis string   // names and what it takes
	text     string   // with the default, if it has one
}

// describeFlags is the flags of cmd in their order, -h last.
func describeFlags(cmd *cli.Command) []flagText {
	all := []flagText{}
	for _, f := range cmd.VisibleFlags() {
		d, ok := f.(cli.DocGenerationFlag)
		if !ok || slices.Contains(f.Names(), "h") {
			continue
		}
		t := flagText{names: f.Names()}
		t.takes, t.text = placeholder(d)
		switch v := strings.Trim(d.GetValue(), `"`); v {
		case "", "0", "0s", "false":
		default:
			if v, ok := strings.CutSuffix(v, "h0m0s"); ok {
				t.text += fmt.Sprintf(" (default %sh)", v)
				break
			}
			t.text += fmt.Sprintf(" (default %s)", v)
		}
		t.synopsis = strings.TrimSpace("-" + strings.Join(t.names, ", -") + " " + t.takes)
		all = append(all, t)
	}
	return append(all, flagText{[]string{"h", "help"}, "", "-h, -help", "print this"})
}

// placeholder is what f takes, which is the word in backquotes in its text or else the kind of it, and the text without these
// quotes.
func placeholder(f cli.DocGenerationFlag) (takes, text string) {
	text = f.GetUsage()
	if before, rest, ok := strings.Cut(text, "`"); ok {
		if takes, after, ok := strings.Cut(rest, "`"); ok {
			return takes, before + takes + after
		}
	}
	if !f.TakesValue() {
		return "", text
	}
	return map[string]string{"string": "TEXT", "int": "N", "duration": "DURATION"}[f.TypeName()], text
}

// wrap breaks text between words into lines of at most width columns, if no word is wider.
func wrap(text string, width int) []string {
	var all []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			all, line = append(all, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(all, line)
}
