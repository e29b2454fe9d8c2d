package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/coredns-kms/coredns-kms/internal/control"

	"github.com/urfave/cli/v3"
)

// socketFlag is how the commands that talk to a running server are told where.
func socketFlag() cli.Flag {
	return &cli.StringFlag{Name: "socket", Value: control.DefaultSocket, TakesFile: true,
		Usage: "the `PATH` that a kms block of the server's Corefile gives to control"}
}

// socketText is what the help of those that only ask says of it.
const socketText = `The server is asked at its control socket: the Corefile needs a line "control PATH" in a kms
block, and whoever may write to the socket may ask.
`

// server is the running server that cmd is to talk to.
func server(cmd *cli.Command) control.Client { return control.Client{Socket: cmd.String("socket")} }

// refusal is the exit status for an error of a running server: critical if it answers and refuses, unknown if nobody answers.
func refusal(err error) exitStatus {
	if errors.As(err, new(*control.RefusedError)) {
		return statusCritical
	}
	return statusUnknown
}

// printable is s as a terminal may have it. What a server says of its hosts came from others in part, and whoever is at the
// terminal may be root: no escape sequence, and nothing that turns the line around, gets through.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// ago is how long d is, as somebody wants to read it in a column.
func ago(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// askedBy is who is at the keyboard, where that is not who runs the program.
func askedBy() string { return os.Getenv("SUDO_USER") }
