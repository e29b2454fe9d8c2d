package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
)

// echo is a table with one command that reports what it was given.
var echo = []command{{
	name:     "echo",
	synopsis: "print the arguments",
	run: func(_ context.Context, args []string, stdout, _ io.Writer) int {
		fmt.Fprintf(stdout, "%q", args)
		return 2
	},
}}

func TestDispatch(t *testing.T) {
	help := "Usage: coredns kms COMMAND [ARGUMENT...]\n\nCommands:\n" +
		"  echo             print the arguments\n" +
		"  help [COMMAND]   list the commands, or explain one\n"
	tests := []struct {
		args   []string
		status int
		stdout string
		stderr string
	}{
		{[]string{}, 3, "", help},
		{[]string{"help"}, 0, help, ""},
		{[]string{"-h"}, 0, help, ""},
		{[]string{"--help"}, 0, help, ""},
		{[]string{"help", "echo"}, 2, `["-h"]`, ""},
		{[]string{"echo"}, 2, `[]`, ""},
		{[]string{"echo", "-h", "help"}, 2, `["-h" "help"]`, ""},
		{[]string{"frobnicate"}, 3, "", "kms: unknown command \"frobnicate\"; there is: echo, help\n"},
		{[]string{"help", "frobnicate"}, 3, "", "kms: unknown command \"frobnicate\"; there is: echo, help\n"},
	}
	for _, tc := range tests {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := dispatch(t.Context(), echo, tc.args, &stdout, &stderr)
			if status != tc.status || stdout.String() != tc.stdout || stderr.String() != tc.stderr {
				t.Errorf("Got %d, %q, %q, want %d, %q, %q", status, stdout.String(), stderr.String(), tc.status, tc.stdout, tc.stderr)
			}
		})
	}
}

// What holds for every command, whoever adds it.
func TestCommandTable(t *testing.T) {
	seen := map[string]bool{"help": true}
	for _, c := range commands {
		if c.name == "" || seen[c.name] {
			t.Errorf("Command %q has no name or one that is taken", c.name)
		}
		seen[c.name] = true
		if c.synopsis == "" || strings.Contains(c.synopsis, "\n") {
			t.Errorf("Command %q has synopsis %q, want one line", c.name, c.synopsis)
		}
		var stdout, stderr bytes.Buffer
		if status := runCommand([]string{c.name, "-h"}, &stdout, &stderr); status != 0 {
			t.Errorf("Got exit status %d from kms %s -h, want 0; it said %q", status, c.name, stderr.String())
		}
		if stdout.Len()+stderr.Len() == 0 {
			t.Errorf("Got nothing from kms %s -h, want its usage", c.name)
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
	saved := commands
	t.Cleanup(func() { commands = saved })
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			commands = []command{{name: "wait", run: func(ctx context.Context, _ []string, _, _ io.Writer) int {
				if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
					t.Errorf("Cannot send %v: %v", sig, err)
				}
				<-ctx.Done() // a signal that got lost is the test's time limit
				return 7
			}}}
			if status := runCommand([]string{"wait"}, io.Discard, io.Discard); status != 7 {
				t.Errorf("Got exit status %d, want the command's own 7", status)
			}
		})
	}
}
