package kms

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"github.com/coredns/caddy"
	"github.com/coredns/caddy/caddyfile"
)

// blank is an error if the Corefile on disk says nothing at all. To CoreDNS that is a Corefile like any other: it would take
// everything away, and with it the reload plugin, so that nothing would come back. But it is what a file looks like that somebody
// is about to write in place. Where the Corefile cannot be read here, or is none of our business, there is no error.
func blank() error {
	conf := flag.Lookup("conf") // CoreDNS's own
	if conf == nil || conf.Value.String() == "stdin" {
		return nil
	}
	name := conf.Value.String()
	if name == "" {
		name = caddy.DefaultConfigFile
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	if blocks, err := caddyfile.Parse(name, bytes.NewReader(text), nil); err != nil || len(blocks) > 0 {
		return nil
	}
	return fmt.Errorf("%s has no server block: what runs goes on; is somebody writing it? "+
		"To take effect as a whole, write another file and rename it", name)
}
