package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// shells is for which there is a script in completion/.
var shells = []string{"bash", "zsh", "fish"}

//go:embed completion
var completionScripts embed.FS

const completionText = `Prints a script by which a shell completes "coredns kms" and CoreDNS's own flags: commands,
flags, their values, and for "drain" and "undrain" the names of hosts, which the running server is
asked for.

Exit status: 0, or 3 for a wrong call.

Examples:
  coredns kms completion bash >/etc/bash_completion.d/coredns
  coredns kms completion zsh >/usr/local/share/zsh/site-functions/_coredns
  coredns kms completion fish >~/.config/fish/completions/coredns.fish`

// completionCommand is "kms completion".
func completionCommand() *cli.Command {
	return &cli.Command{
		Name:        "completion",
		Usage:       "print a script that completes command lines in bash, zsh or fish",
		UsageText:   "coredns kms completion bash|zsh|fish",
		Description: completionText,
		ShellComplete: func(_ context.Context, cmd *cli.Command) {
			fmt.Fprintln(cmd.Writer, strings.Join(shells, "\n"))
		},
		Action: does(func(_ context.Context, cmd *cli.Command) (exitStatus, error) {
			shell := cmd.Args().First()
			if cmd.NArg() != 1 || !slices.Contains(shells, shell) {
				return statusUnknown, misuse("for which shell: coredns kms completion %s", strings.Join(shells, "|"))
			}
			script, err := completionScripts.ReadFile("completion/coredns." + shell)
			if err != nil {
				return statusOK, err
			}
			text := string(script)
			if called == packaged { // functions and files are called after it too
				text = strings.ReplaceAll(asCalled(text), "coredns", packaged)
				text = strings.ReplaceAll(text, packaged+"-kms", packaged)
			}
			_, err = io.WriteString(cmd.Writer, text)
			return statusOK, err
		}),
	}
}
