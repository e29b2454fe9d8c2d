package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/urfave/cli/v3"
)

// jsonFlag is how a command is told to print for programs.
func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

// writeJSON prints what a server answered, and the status of a check beside it.
func writeJSON(w io.Writer, s exitStatus, answer any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	all := make(map[string]json.RawMessage)
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	all["status"] = json.RawMessage(`"` + s.String() + `"`)
	return printJSON(w, all)
}

// printJSON prints v for programs, and so that a terminal may have it too: in JSON as well as in Go \u202e is the same as what it
// stands for.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range b.String() {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}
