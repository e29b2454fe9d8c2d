package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

// completeFiles instead of candidates tells the scripts of completion.go to complete the names of files.
const completeFiles = ":files"

// completionTime bounds how long somebody waits who pressed the key.
const completionTime = time.Second

// completeCommand is "kms complete": what the scripts of completion.go call with the words of a command line behind "coredns",
// of which the last, perhaps empty, is to be completed. It prints candidates, a line each, with a tab before what is to be said
// of them.
//
// The library has this too, but is not told the word to be completed, and so does not know "-socket" to be completed from
// "-socket" with its value to come; it writes flags with two dashes; and it knows nothing of words before its own.
func completeCommand() *cli.Command {
	return &cli.Command{
		Name:            "complete",
		Usage:           "complete a command line, for the scripts of \"kms completion\"",
		UsageText:       "coredns kms complete [WORD...] WORD",
		Description:     "Prints what the last word may become.\n\nExit status: 0.\n\nExample:\n  coredns kms complete kms dr",
		Hidden:          true,
		SkipFlagParsing: true,
		Action: does(func(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
			ctx, cancel := context.WithTimeout(ctx, completionTime)
			defer cancel()
			words := cmd.Args().Slice()
			if len(words) == 0 {
				return statusOK, nil
			}
			last := len(words) - 1
			for _, c := range candidates(ctx, cmd.Root(), words[:last], words[last]) {
				if strings.HasPrefix(c.word, words[last]) || c.word == completeFiles {
					fmt.Fprintln(cmd.Writer, strings.TrimSuffix(printable(c.word)+"\t"+printable(c.about), "\t"))
				}
			}
			return statusOK, nil
		}),
	}
}

// candidate is a word that another may become.
type candidate struct{ word, about string }

// candidates is what word may become, among others.
func candidates(ctx context.Context, root *cli.Command, before []string, word string) []candidate {
	command, ok := commandLine(before)
	if !ok && (called != packaged || len(before) > 0 || strings.HasPrefix(word, "-")) {
		return serverCandidates(flag.CommandLine, before, word)
	}
	if before = command; len(before) == 0 {
		return commandNames(root)
	}
	cmd := root.Command(before[0])
	if cmd == nil {
		return nil
	}
	flags := describeFlags(cmd)
	taking := func(word string) *flagText {
		for _, f := range flags {
			if f.takes != "" && strings.HasPrefix(word, "-") && slices.Contains(f.names, strings.TrimLeft(word, "-")) {
				return &f
			}
		}
		return nil
	}
	if name, _, ok := strings.Cut(word, "="); ok && taking(name) != nil {
		all := flagValues(cmd, *taking(name))
		for i := range all {
			all[i].word = name + "=" + all[i].word
		}
		return all
	}
	if len(before) > 1 && taking(before[len(before)-1]) != nil {
		return flagValues(cmd, *taking(before[len(before)-1]))
	}
	if strings.HasPrefix(word, "-") {
		dashes := word[:len(word)-len(strings.TrimLeft(word, "-"))]
		var all []candidate
		for _, f := range flags {
			for _, n := range f.names {
				all = append(all, candidate{dashes + n, f.text})
			}
		}
		return all
	}
	// The flags that stand already, of which one says where the server is.
	for i, w := range before[1:] {
		if name, value, ok := strings.Cut(w, "="); ok && taking(name) != nil {
			cmd.Set(taking(name).names[0], value)
		} else if taking(w) != nil && i+2 < len(before) {
			cmd.Set(taking(w).names[0], before[i+2])
		}
	}
	return arguments(ctx, cmd)
}

// commandNames is all commands that are not hidden.
func commandNames(root *cli.Command) []candidate {
	all := []candidate{{"help", "list the commands, or explain one"}}
	for _, c := range root.VisibleCommands() {
		all = append(all, candidate{c.Name, c.Usage})
	}
	return all
}

// serverCandidates is how a server may be started: with the flags of CoreDNS itself, or as a command.
func serverCandidates(flags *flag.FlagSet, before []string, word string) []candidate {
	if len(before) > 0 {
		switch f := flags.Lookup(strings.TrimLeft(before[len(before)-1], "-")); {
		case f == nil || !strings.HasPrefix(before[len(before)-1], "-"):
		case f.Name == "conf" || f.Name == "pidfile":
			return []candidate{{completeFiles, ""}}
		case !isBool(f):
			return nil
		}
	}
	if !strings.HasPrefix(word, "-") {
		if len(before) > 0 {
			return nil
		}
		return []candidate{{"kms", "a command of the kms plugin"}}
	}
	var all []candidate
	flags.VisitAll(func(f *flag.Flag) { all = append(all, candidate{"-" + f.Name, f.Usage}) })
	return all
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// flagValues is what a flag may be given: one of the words in its placeholder, if these are in lower case, or a file.
func flagValues(cmd *cli.Command, f flagText) []candidate {
	for _, of := range cmd.Flags {
		if s, ok := of.(*cli.StringFlag); ok && s.Name == f.names[0] && s.TakesFile {
			return []candidate{{completeFiles, ""}}
		}
	}
	if f.takes != strings.ToLower(f.takes) {
		return nil
	}
	var all []candidate
	for w := range strings.SplitSeq(f.takes, "|") {
		all = append(all, candidate{w, ""})
	}
	return all
}

// arguments is what a command's ShellComplete prints, one argument a line: what may stand where no flag does.
func arguments(ctx context.Context, cmd *cli.Command) []candidate {
	if cmd.ShellComplete == nil {
		return nil
	}
	var b bytes.Buffer
	cmd.Writer = &b
	cmd.ShellComplete(ctx, cmd)
	var all []candidate
	for line := range strings.Lines(b.String()) {
		word, about, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		all = append(all, candidate{word, about})
	}
	return all
}

// argumentFiles is the ShellComplete of commands that read files.
func argumentFiles(_ context.Context, cmd *cli.Command) { fmt.Fprintln(cmd.Writer, completeFiles) }

// argumentHosts is the ShellComplete of commands for hosts of the running server, those that wanted is true for. Without a
// server there are none.
func argumentHosts(wanted func(state string) bool) cli.ShellCompleteFunc {
	return func(ctx context.Context, cmd *cli.Command) {
		all, err := server(cmd).Hosts(ctx)
		if err != nil {
			return
		}
		ports := make(map[string]int)
		for _, p := range all.Pools {
			for _, h := range p.Hosts {
				name, _, _ := net.SplitHostPort(h.Endpoint)
				ports[name]++
			}
		}
		for _, p := range all.Pools {
			for _, h := range p.Hosts {
				if wanted(h.State) {
					writeHost(cmd.Writer, h.Endpoint, h.State, ports)
				}
			}
		}
		for _, d := range all.Absent {
			if wanted("drained") {
				writeHost(cmd.Writer, d.Endpoint, "drained, in no pool", nil)
			}
		}
	}
}

// writeHost writes a host as one would type it: without the port if its name says which it is. Shells put it into a command
// line as it stands, so what is more than a name is left out, whoever managed to be called so.
func writeHost(w io.Writer, endpoint, about string, ports map[string]int) {
	name, _, err := net.SplitHostPort(endpoint)
	if err != nil || ports[name] > 1 {
		name = endpoint
	}
	if strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_.:[]") == "" {
		fmt.Fprintf(w, "%s\t%s\n", name, about)
	}
}
