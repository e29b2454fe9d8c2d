package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v3"
)

// kms runs "coredns kms NAME args…" and returns its exit status.
func kms(t *testing.T, name string, args []string, stdout, stderr io.Writer) int {
	t.Helper()
	return dispatch(t.Context(), commands(wall()), append([]string{name}, args...), stdout, stderr)
}

// echo is a table with one command that reports what it was given, and ends with the status that it is told.
func echo() []*cli.Command {
	return []*cli.Command{{
		Name:      "echo",
		Usage:     "print the arguments",
		UsageText: "coredns kms echo [FLAG...]\ncoredns kms echo WORD...",
		Description: `Prints them.

Exit status: as told.`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "status", Aliases: []string{"exit"}, Value: 2, Usage: "end with `N`"},
			&cli.StringFlag{Name: "fail", Usage: "say so"},
			&cli.StringFlag{Name: "what-nobody-would-ever-type",
				Usage: "a text that is long enough to be broken into two lines, because it has more to say than there is room"},
			jsonFlag(),
		},
		Action: does(func(_ context.Context, cmd *cli.Command) (exitStatus, error) {
			if why := cmd.String("fail"); why != "" {
				return exitStatus(cmd.Int("status")), misuse("%s", why)
			}
			fmt.Fprintf(cmd.Writer, "%q %t", cmd.Args().Slice(), cmd.Bool("json"))
			return exitStatus(cmd.Int("status")), nil
		}),
	}}
}

func TestDispatch(t *testing.T) {
	list := "Usage: coredns kms COMMAND [ARGUMENT...]\n\nCommands:\n" +
		"  echo             print the arguments\n" +
		"  help [COMMAND]   list the commands, or explain one\n"
	explained := `Usage: coredns kms echo [FLAG...]
       coredns kms echo WORD...

Prints them.

Exit status: as told.

Flags, which may stand anywhere and have one dash or two:
  -status, -exit N      end with N (default 2)
  -fail TEXT            say so
  -what-nobody-would-ever-type TEXT
                        a text that is long enough to be broken into two lines, because it has more
                        to say than there is room
  -json                 print JSON
  -h, -help             print this
`
	see := "See \"coredns kms help echo\".\n"
	for _, tc := range []struct {
		args   string
		status int
		stdout string
		stderr string
	}{
		{"", 3, "", list},
		{"help", 0, list, ""},
		{"-h", 0, list, ""},
		{"--help", 0, list, ""},
		{"help echo", 0, explained, ""},
		{"-h echo", 0, explained, ""},
		{"echo -h", 0, explained, ""},
		{"echo word -help", 0, explained, ""},
		{"echo -frobnicate -h", 3, "", "kms echo: there is no flag -frobnicate\n" + see},
		{"echo -h -frobnicate", 0, explained, ""},
		{"-h frobnicate", 0, list, ""},
		{"echo -- -h", 2, `["-h"] false`, ""},
		{"echo", 2, `[] false`, ""},
		{"echo help h", 2, `["help" "h"] false`, ""}, // they may be hosts
		{"echo a -json b --status 1", 1, `["a" "b"] true`, ""},
		{"echo --json=false -exit=0 192.0.2.1 [2001:db8::1]:1688", 0, `["192.0.2.1" "[2001:db8::1]:1688"] false`, ""},
		{"echo -fail late -status 0", 3, "", "kms echo: late\n" + see},
		{"echo -fail \x1b[2J\u202e", 2, "", "kms echo: \\x1b[2J\\u202e\n" + see},
		{"echo -version", 3, "", "kms echo: there is no flag -version\n" + see},
		{"echo -v", 3, "", "kms echo: there is no flag -v\n" + see},
		{"echo -sttaus 1", 3, "", "kms echo: there is no flag -sttaus; did you mean -status?\n" + see},
		{"echo --jsno", 3, "", "kms echo: there is no flag -jsno; did you mean -json?\n" + see},
		{"echo -frobnicate", 3, "", "kms echo: there is no flag -frobnicate\n" + see},
		{"echo -status", 3, "", "kms echo: flag needs an argument: -status\n" + see},
		{"echo -status x", 3, "", "kms echo: -status \"x\": a whole number, of at most 18 digits\n" + see},
		{"echo -json=x", 3, "", "kms echo: -json \"x\": nothing, true or false\n" + see},
		{"-frobnicate echo", 3, "", "kms: there is no flag -frobnicate\nSee \"coredns kms help\".\n"},
		{"frobnicate", 3, "", "kms: unknown command \"frobnicate\"; there is: echo, help\nSee \"coredns kms help\".\n"},
		{"help frobnicate", 3, "", "kms help: unknown command \"frobnicate\"; there is: echo, help\nSee \"coredns kms help help\".\n"},
		{"ehco", 3, "", "kms: unknown command \"ehco\"; did you mean \"echo\"?\nSee \"coredns kms help\".\n"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := dispatch(t.Context(), echo(), strings.Fields(tc.args), &stdout, &stderr)
			if status != tc.status || stdout.String() != tc.stdout || stderr.String() != tc.stderr {
				t.Errorf("Got %d, %q, %q, want %d, %q, %q", status, stdout.String(), stderr.String(), tc.status, tc.stdout, tc.stderr)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	names := []string{"probe", "import", "hosts", "drain", "undrain", "rehearse", "why", "h"}
	for word, want := range map[string]string{
		"prob": "probe", "porbe": "probe", "host": "hosts", "drian": "drain", "udnrain": "undrain", "imp": "import", "rehaerse": "rehearse",
		"wyh": "why", "im": "", "frobnicate": "", "x": "", "": "", "status": "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// What holds for every command, whoever adds it.
func TestCommandTable(t *testing.T) {
	seen := map[string]bool{"help": true}
	for _, c := range commands(wall()) {
		if c.Name == "" || seen[c.Name] {
			t.Errorf("Command %q has no name or one that is taken", c.Name)
		}
		seen[c.Name] = true
		if c.Usage == "" || strings.Contains(c.Usage, "\n") {
			t.Errorf("Command %q has usage %q, want one line", c.Name, c.Usage)
		}
		for line := range strings.SplitSeq(c.UsageText, "\n") {
			if line != "coredns kms "+c.Name && !strings.HasPrefix(line, "coredns kms "+c.Name+" ") {
				t.Errorf("Command %q is called %q", c.Name, line)
			}
		}
		if !strings.Contains(c.Description, "\n\nExit status") || !strings.Contains(c.Description, "\n\nExample") {
			t.Errorf("Command %q is without a paragraph for its exit status or one for examples: %q", c.Name, c.Description)
		}
		if c.Description != strings.TrimSpace(c.Description) {
			t.Errorf("Command %q has blanks around its description: %q", c.Name, c.Description)
		}
		for line := range strings.SplitSeq(c.Description, "\n") {
			if len(line) > helpWidth {
				t.Errorf("Command %q: %q is wider than %d columns", c.Name, line, helpWidth)
			}
		}
		for _, f := range c.Flags {
			if f.(cli.DocGenerationFlag).GetUsage() == "" {
				t.Errorf("Command %q does not explain -%s", c.Name, f.Names()[0])
			}
		}
		var stdout, stderr bytes.Buffer
		args := []string{c.Name, "-h"}
		if c.SkipFlagParsing {
			args = []string{"help", c.Name}
		}
		status := kms(t, args[0], args[1:], &stdout, &stderr)
		if status != 0 || !strings.HasPrefix(stdout.String(), "Usage: "+c.UsageText[:20]) || stderr.Len() > 0 {
			t.Errorf("Got %d, %q, %q from kms %s -h, want 0 and its help", status, stdout.String(), stderr.String(), c.Name)
		}
	}
}

func TestRunCommand(t *testing.T) {
	// As main has it: the word kms goes to the table, all else to CoreDNS.
	if status, stdout, _ := coredns(t, "kms", "help"); status != 0 || !strings.Contains(stdout, "Usage: coredns kms") {
		t.Errorf("Got %d, %q from kms help, want 0 and the usage", status, stdout)
	}
	if status, _, stderr := coredns(t, "kms", "frobnicate"); status != 3 || !strings.Contains(stderr, "there is:") {
		t.Errorf("Got %d, %q from kms frobnicate, want 3 and what there is", status, stderr)
	}
	if status, _, stderr := coredns(t, "help"); status == 0 || !strings.Contains(stderr, "extra command line arguments") {
		t.Errorf("Got %d, %q from help without kms, want CoreDNS's refusal", status, stderr)
	}
}

// SIGTERM and SIGINT end a command's context.
func TestRunCommandSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			wait := &cli.Command{Name: "wait", Action: does(func(ctx context.Context, _ *cli.Command) (exitStatus, error) {
				if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
					t.Errorf("Cannot send %v: %v", sig, err)
				}
				<-ctx.Done() // a signal that got lost is the test's time limit
				return 7, nil
			})}
			if status := runCommand([]*cli.Command{wait}, []string{"wait"}, io.Discard, io.Discard); status != 7 {
				t.Errorf("Got exit status %d, want the command's own 7", status)
			}
		})
	}
}
