package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/coredns-kms/coredns-kms/internal/control"
)

// socketFlag is how the commands that talk to a running server are told where.
func socketFlag(flags *flag.FlagSet) *string {
	return flags.String("socket", control.DefaultSocket, "the path that a kms block of the server's Corefile gives to control")
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

// complain writes why a command could not do what it was told.
func complain(stderr io.Writer, command string, err error) {
	fmt.Fprintf(stderr, "kms %s: %s\n", command, printable(err.Error()))
}
