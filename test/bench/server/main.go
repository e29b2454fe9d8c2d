// Command server is a CoreDNS with the plugins that are measured against each other, so that all of them run in one binary,
// and next to nothing else. It is tuned as that of build/ is.
package main

import (
	"fmt"
	"os"

	_ "github.com/coredns-kms/coredns-kms" // kms
	"github.com/coredns-kms/coredns-kms/internal/tuning"
	_ "github.com/coredns-kms/coredns-kms/test/bench/constant" // constant

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"    // bind
	_ "github.com/coredns/coredns/plugin/errors"  // errors
	_ "github.com/coredns/coredns/plugin/file"    // file
	_ "github.com/coredns/coredns/plugin/metrics" // prometheus
	_ "github.com/coredns/coredns/plugin/ready"   // ready
)

// directives is in the order of the real CoreDNS.
var directives = []string{"bind", "ready", "prometheus", "errors", "kms", "constant", "file"}

func main() {
	if err := dnsserver.SetDirectives(directives); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tuning.Run(coremain.Run)
}
