// Command hostile calls a responder as machines that chose their names to do harm where they are shown. It is for the test of
// the status page: it prints the names, as JSON, when every one was taken.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// names fit into the 63 UTF-16 units of a request. A NUL ends one, so the last arrives as none.
var names = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`</title></table><h1>owned</h1>`,
	"\x1b[2J\x1b[31mred\x07",
	"\u202egnp.exe\u2066",
	"=HYPERLINK(\"http://192.0.2.1\",1)",
	"@SUM(1+1)*cmd|'/C calc'!A0",
	"&lt;b&gt;&amp;",
	"{{.}}${1}`'",
	strings.Repeat("W", 63),
	strings.Repeat("Z\u0335\u0322", 20),
	strings.Repeat("\x00", 128),
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "Usage: hostile ADDRESS:PORT")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(responder string) error {
	at, err := netip.ParseAddrPort(responder)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i, name := range names {
		c := kmsresponder.RehearsalClient{
			Name: name, CMID: [16]byte{0xbad & 0xff, byte(i + 1)}, Suffixes: []string{"example.org"},
			Discover: func(context.Context, string) ([]kmsresponder.SRV, error) {
				return []kmsresponder.SRV{{Target: "responder", Port: at.Port(), Addresses: []netip.Addr{at.Addr()}}}, nil
			},
		}
		if a := c.Activate(ctx); a.Host == "" {
			return fmt.Errorf("%q was not answered: %v, %+v", name, a.Err, a.Tries)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(names)
}
