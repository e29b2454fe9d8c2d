package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	kmsplugin "github.com/coredns-kms/coredns-kms"
	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/lint"

	"github.com/coredns/caddy"
	"github.com/urfave/cli/v3"
)

const (
	maxCorefile = 1 << 20          // octets of a Corefile, and of each file whose comments are read
	inspectTime = 30 * time.Second // for reading it, with all that it imports and the zones that it loads
	maxLog      = 100              // complaints of plugins that are shown
)

const lintText = `Reads a Corefile as the server does, without starting one, and says what is wrong with it, or
legal and yet unwise. What stands in zones below kms (plugins file, auto, and the lines of
hosts) is looked at too; unless -no-probe is given, names are looked up, hosts are probed, and it
is seen whether this machine has the directories of control and store.

Each finding is one line, FILE:LINE: SEVERITY: [RULE] TEXT, as compilers write them. A comment
"# kms-lint: ignore RULE: WHY" at the end of a line, or on a line of its own above it, says that a
finding of that rule is known and meant.

Exit status:
  0  OK        no warning; notes may be there
  1  WARNING   something is unwise
  2  CRITICAL  the server does not start with it
  3  UNKNOWN   it could not be read, or a wrong call

Examples:
  coredns kms lint Corefile
  coredns kms lint -no-probe -json /etc/coredns/Corefile
  coredns kms lint -rules`

// lintCommand is "kms lint".
func lintCommand() *cli.Command {
	return &cli.Command{
		Name:          "lint",
		Usage:         "say what is wrong with a Corefile, or unwise",
		UsageText:     "coredns kms lint [-no-probe] [-json] COREFILE\ncoredns kms lint -rules [-json]",
		Description:   lintText,
		ShellComplete: argumentFiles,
		Flags: []cli.Flag{
			jsonFlag(),
			&cli.BoolFlag{Name: "no-probe", Usage: "look up no names, probe no hosts and look at no paths: another machine's Corefile"},
			&cli.BoolFlag{Name: "rules", Usage: "list the rules with their reasons"},
		},
		Action: checks(lintCorefile),
	}
}

// lintReport is what -json prints, with the status beside it.
type lintReport struct {
	Version  int            `json:"version"` // of this shape; fields may be added to one
	Corefile string         `json:"corefile"`
	Findings []lint.Finding `json:"findings"` // in the order of files and lines; none: empty
}

func lintCorefile(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
	switch {
	case cmd.Bool("rules") && cmd.Args().Present():
		return statusUnknown, misuse("-rules takes no Corefile: it lists what there is to find")
	case cmd.Bool("rules") && cmd.Bool("json"):
		return statusOK, writeJSON(cmd.Writer, statusOK, map[string]any{"rules": lint.Rules()})
	case cmd.Bool("rules"):
		return statusOK, writeRules(cmd.Writer)
	case cmd.NArg() != 1:
		return statusUnknown, misuse("one Corefile: coredns kms lint COREFILE")
	}
	path := cmd.Args().First()
	text, err := readCorefile(path)
	if err != nil {
		return statusUnknown, err
	}
	if err := placeKMS(); err != nil {
		return statusUnknown, err
	}
	found, err := inspect(ctx, path, text)
	if err != nil {
		return statusUnknown, err
	}
	var findings []lint.Finding
	switch {
	case found.refused != nil:
		findings = []lint.Finding{loadError(path, found.refused)}
	default:
		if !cmd.Bool("no-probe") {
			look(ctx, found.corefile)
		}
		findings = lint.Check(found.corefile)
		findings = lint.Ignore(findings, commented(path, text, findings))
	}
	if cmd.Bool("json") {
		s, _ := weighFindings(findings)
		return s, writeJSON(cmd.Writer, s, lintReport{1, path, append([]lint.Finding{}, findings...)})
	}
	return writeFindings(cmd.Writer, path, findings)
}

// readCorefile reads a file that is not longer than a Corefile may be.
func readCorefile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file: the path of a Corefile", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxCorefile+1))
	if err == nil && len(text) > maxCorefile {
		err = fmt.Errorf("%s has more than %d octets, which no Corefile has", path, maxCorefile)
	}
	return string(text), err
}

// A reading is what came of reading a Corefile: what it says, or why the server would not start.
type reading struct {
	corefile *lint.Corefile
	refused  error
}

// inspect has the Corefile read. Imports can go in circles, or open devices, for longer than anybody waits; what does so is left
// behind when the time is over, and ends with the process.
func inspect(ctx context.Context, path, text string) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	complaints := new(complaints)
	flags, before := log.Flags(), log.Writer()
	log.SetFlags(0)
	log.SetOutput(complaints)
	done := make(chan reading, 1)
	go func() {
		c, err := kmsplugin.Inspect(caddy.CaddyfileInput{Filepath: path, Contents: []byte(text), ServerTypeName: "dns"})
		log.SetFlags(flags)
		log.SetOutput(before)
		if c != nil {
			c.Log = complaints.all()
		}
		done <- reading{c, err}
	}()
	select {
	case r := <-done:
		return r, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return reading{}, fmt.Errorf("%s: interrupted", path)
		}
		return reading{}, fmt.Errorf("%s: not read in %s: do its imports go in circles, or to a device?", path, inspectTime)
	}
}

// complaints is the log of those who read a Corefile, as far as they complain.
type complaints struct {
	sync.Mutex
	lines []string
}

func (c *complaints) Write(line []byte) (int, error) {
	c.Lock()
	defer c.Unlock()
	for _, level := range []string{"[WARNING] ", "[ERROR] "} {
		if text, ok := strings.CutPrefix(string(line), level); ok && len(c.lines) < maxLog {
			c.lines = append(c.lines, strings.TrimSpace(text))
		}
	}
	return len(line), nil
}

func (c *complaints) all() []string {
	c.Lock()
	defer c.Unlock()
	return c.lines
}

// inError is where caddy's errors have the place.
var inError = regexp.MustCompile(`^(?:plugin/\w+: )?(.+?):(\d+) - (?:Error during parsing|Syntax error): `)

// loadError is the server's own error as a finding, at the place that the error names.
func loadError(path string, err error) lint.Finding {
	at := config.Place{File: path}
	if m := inError.FindStringSubmatch(err.Error()); m != nil {
		at.File = m[1]
		at.Line, _ = strconv.Atoi(m[2])
	}
	return lint.Finding{Place: at, Severity: lint.Error, Rule: lint.Load, Text: err.Error()}
}

// commented is the texts of the files that findings are in, for the comments there. A file that cannot be read any more, or has
// become long, has none.
func commented(path, text string, findings []lint.Finding) map[string]string {
	files := map[string]string{path: text}
	for _, f := range findings {
		if _, ok := files[f.File]; !ok && filepath.IsAbs(f.File) {
			files[f.File], _ = readCorefile(f.File)
		}
	}
	return files
}

// weighFindings makes one status of all findings, and says how many there are.
func weighFindings(findings []lint.Finding) (exitStatus, string) {
	var n [3]int
	for _, f := range findings {
		n[f.Severity]++
	}
	s := statusOK
	switch {
	case n[lint.Error] > 0:
		s = statusCritical
	case n[lint.Warning] > 0:
		s = statusWarning
	}
	many := func(n int, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	return s, fmt.Sprintf("%s, %s, %s", many(n[lint.Error], "error"), many(n[lint.Warning], "warning"), many(n[lint.Note], "note"))
}

// writeFindings prints a line for each finding and one for all.
func writeFindings(w io.Writer, path string, findings []lint.Finding) (exitStatus, error) {
	s, summary := weighFindings(findings)
	for _, f := range findings {
		if _, err := fmt.Fprintln(w, printable(f.String())); err != nil {
			return s, err
		}
	}
	_, err := fmt.Fprintf(w, "KMS %s - %s in %s\n", s, summary, printable(path))
	return s, err
}

// writeRules prints what there is to find.
func writeRules(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var err error
	for _, r := range lint.Rules() {
		_, e := fmt.Fprintf(t, "%s\t%s\t%s\n", r.Name, r.Severity, r.Reason)
		err = errors.Join(err, e)
	}
	return errors.Join(err, t.Flush())
}
