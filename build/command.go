package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"
)

// commands is all that there is after "coredns kms", made anew for each call, in the order that help lists it. A new command
// is a row here and a file of its own; see probe.go for what belongs into it. c is by what commands tell the time.
func commands(c clock) []*cli.Command {
	return []*cli.Command{
		probeCommand(),
		discoverCommand(),
		explainCommand(),
		importCommand(),
		statusCommand(c),
		hostsCommand(c),
		clientsCommand(),
		whyCommand(c),
		drainCommand(),
		undrainCommand(),
		rehearseCommand(),
		simulateCommand(c),
		lintCommand(),
		completionCommand(),
		completeCommand(),
		manCommand(c),
	}
}

// clock is how a command knows what time it is, and in which zone to say so.
type clock struct {
	now  func() time.Time
	zone *time.Location
}

// wall is the clock of everybody but tests.
func wall() clock { return clock{time.Now, time.Local} }

// exitStatus is the word and exit status of a command: those of monitoring plugins.
type exitStatus int

const (
	statusOK exitStatus = iota
	statusWarning
	statusCritical
	statusUnknown // also of a call that was never carried out
)

func (s exitStatus) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s] }

// does makes an Action of what a command does. That writes to cmd.Writer, and returns its exit status; an error is printed,
// and is UNKNOWN unless the status says worse of it than OK. It must not end the process.
func does(do func(ctx context.Context, cmd *cli.Command) (exitStatus, error)) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		s, err := do(ctx, cmd)
		if err != nil && s == statusOK {
			s = statusUnknown
		}
		return &outcome{command: cmd.Name, status: s, err: err, json: cmd.Bool("json")}
	}
}

// checks makes an Action of what a command does that monitoring may run: an error, too, is then said in a line on standard
// output, as monitoring plugins say it.
func checks(do func(ctx context.Context, cmd *cli.Command) (exitStatus, error)) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		o := does(do)(ctx, cmd).(*outcome)
		o.check = !cmd.Bool("csv")
		return o
	}
}

// outcome is how a command ended.
type outcome struct {
	command string
	status  exitStatus
	err     error // nil if the command has said all
	json    bool  // that is what was asked for
	check   bool  // see checks
}

func (o *outcome) Error() string { return fmt.Sprintf("%s: %s: %v", o.command, o.status, o.err) }

// wrongCall is an error of whoever typed the command.
type wrongCall struct{ error }

// misuse is an error about how a command was called; where to read more is added when it is printed.
func misuse(format string, args ...any) error { return wrongCall{fmt.Errorf(format, args...)} }

// runCommand runs what "coredns kms args…" asks for and returns the exit status. The first SIGINT or SIGTERM ends the
// command's context; a second one kills, for whoever will not wait.
func runCommand(table []*cli.Command, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return dispatch(ctx, table, args, stdout, stderr)
}

// dispatch finds the command in the table, runs it and returns the exit status. A table serves once: commands hold what was
// parsed.
func dispatch(ctx context.Context, table []*cli.Command, args []string, stdout, stderr io.Writer) int {
	root := &cli.Command{
		Name:            "kms",
		UsageText:       "coredns kms COMMAND [ARGUMENT...]",
		Commands:        append(table, helpCommand()),
		HideHelpCommand: true, // the library's, of which every command would get one: a host may be called "help"
		Writer:          stdout,
		ErrWriter:       stderr,
		ExitErrHandler:  func(context.Context, *cli.Command, error) {}, // which would print and end the process
		Action:          does(noCommand),
	}
	root.Walk(func(c *cli.Command) error { // the library asks nobody above a command
		c.UsageText, c.Description = asCalled(c.UsageText), asCalled(c.Description)
		c.OnUsageError = wrongFlag
		// It takes what stands before -h for a command to explain.
		c.CommandNotFound = func(_ context.Context, c *cli.Command, _ string) { writeHelp(stdout, c) }
		return nil
	})
	err := root.Run(ctx, append([]string{root.Name}, args...))
	o := new(outcome)
	switch {
	case err == nil: // help was asked for
		return int(statusOK)
	case !errors.As(err, &o):
		o = &outcome{status: statusUnknown, err: err}
	}
	if o.err != nil {
		o.tell(strings.TrimPrefix(o.command, root.Name), stdout, stderr)
	}
	return int(o.status)
}

// tell says why command could not do what it was told. A program that wants JSON gets that, besides, and a check is a line on
// standard output; whoever called it wrongly is a person.
func (o *outcome) tell(command string, stdout, stderr io.Writer) {
	switch {
	case errors.As(o.err, new(wrongCall)):
		complain(stderr, command, o.err)
		fmt.Fprintf(stderr, "See \"%s\".\n", strings.TrimSpace(called+" help "+command))
		return
	case o.json:
		word := o.status.String()
		if command == "status" { // a server's report has its own
			word = strings.ToLower(word)
		}
		printJSON(stdout, struct {
			Version int    `json:"version"`
			Status  string `json:"status"`
			Error   string `json:"error"`
		}{1, word, asCalled(o.err.Error())}) // if nobody reads it, the status is left
	case o.check:
		first, rest, _ := strings.Cut(asCalled(o.err.Error()), "\n")
		fmt.Fprintf(stdout, "KMS %s - %s\n", o.status, checkLine(first))
		if rest != "" {
			complain(stderr, command, errors.New(rest))
		}
		return
	}
	complain(stderr, command, o.err)
}

// complain writes why a command could not do what it was told.
func complain(stderr io.Writer, command string, err error) {
	for line := range strings.Lines(asCalled(err.Error())) {
		fmt.Fprintf(stderr, "%s: %s\n", strings.TrimSpace("kms "+command), printable(strings.TrimSuffix(line, "\n")))
	}
}

// noCommand is what the root does if no word after it is a command.
func noCommand(_ context.Context, root *cli.Command) (exitStatus, error) {
	if !root.Args().Present() {
		writeHelp(root.ErrWriter, root)
		return statusUnknown, nil
	}
	return statusUnknown, unknownCommand(root, root.Args().First())
}

// unknownCommand is the error for a word that is no command of root.
func unknownCommand(root *cli.Command, word string) error {
	var names []string
	for _, c := range root.VisibleCommands() {
		names = append(names, c.Name)
	}
	names = append(names, "help") // which the library takes for its own and hides
	if near := nearest(word, names); near != "" {
		return misuse("unknown command %q; did you mean %q?", word, near)
	}
	return misuse("unknown command %q; there is: %s", word, strings.Join(names, ", "))
}

// wrongFlag says what is wrong with a flag of cmd, and which one was meant.
func wrongFlag(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	if word, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		var names []string
		for _, f := range cmd.VisibleFlags() {
			names = append(names, f.Names()...)
		}
		err = fmt.Errorf("there is no flag -%s", word)
		if near := nearest(word, names); near != "" {
			err = fmt.Errorf("there is no flag -%s; did you mean -%s?", word, near)
		}
	}
	if m := wrongValue.FindStringSubmatch(err.Error()); m != nil {
		err = fmt.Errorf("-%s %q: %s", m[2], m[1], wanted(cmd, m[2], m[3]))
	}
	return &outcome{command: cmd.Name, status: statusUnknown, err: wrongCall{err}}
}

// wrongValue is what the library says of a value: the value, the flag, and why in the words of what parsed it.
var wrongValue = regexp.MustCompile(`(?s)^invalid value "(.*)" for flag -(\S+): (.*)$`)

// wanted is what a value of the flag has to be, and reason if there is no more to say.
func wanted(cmd *cli.Command, flag, reason string) string {
	i := slices.IndexFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag) })
	if i < 0 {
		return reason
	}
	switch cmd.Flags[i].(type) {
	case *cli.DurationFlag:
		return "a duration, as in 30s or 1h30m"
	case *cli.IntFlag:
		return "a whole number, of at most 18 digits"
	case *cli.FloatFlag:
		return "a number, as in 0.5"
	case *cli.BoolFlag:
		return "nothing, true or false"
	}
	return reason
}

// nearest is the one of names that word is a slip of the fingers away from: a letter too many, too few, wrong or swapped with
// its neighbour, two of them in a longer word. Or that it is the beginning of. "" if there is none.
func nearest(word string, names []string) string {
	best, least := "", 1+len(word)/4
	for _, n := range names {
		d := edits(word, n)
		if len(word) > 2 && strings.HasPrefix(n, word) {
			d = 1
		}
		if d <= least && d < len(n) && (best == "" || d < least) {
			best, least = n, d
		}
	}
	return best
}

// edits counts how many octets of a to insert, delete, replace or swap with the next to make it b.
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
