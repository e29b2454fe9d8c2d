package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/miekg/dns"
)

const importUsage = `Usage: coredns kms import [-zone NAME] [OPTION...] FILE
       coredns kms import -zone NAME [OPTION...] -axfr HOST[:PORT]
       coredns kms import -zone NAME [OPTION...] -check OLD[:PORT] NEW[:PORT]

Finds the _vlmcs._tcp records of a zone, in a file as BIND has it or by a transfer from a running
server, and prints the kms block that replaces them, to be pasted into a Corefile. A record is
commented out, with the reason, if its host is dead, if it stands twice, if no client could use it,
or if its host is not on the list of licensed ones.

The file of a zone that takes updates is behind the zone: "rndc sync" first, or -axfr.
A secret on the command line is seen by everybody on this machine: -keyfile takes a file as
tsig-keygen writes it.

-check asks two servers for the same records and says what differs, and which of that is to be
expected: the new one leaves dead hosts out.

Exit status, as monitoring plugins have it:
  0  OK        every record was taken over; or: both servers answer the same
  1  WARNING   some were commented out or changed; or: what differs is to be expected
  2  CRITICAL  nothing usable was found; or: they differ
  3  UNKNOWN   the zone could not be read, a server does not answer, or a wrong call

Examples:
  coredns kms import -zone corp.example.org /etc/bind/db.corp.example.org
  coredns kms import -zone corp.example.org -axfr ns1.example.org -keyfile transfer.key
  coredns kms import -zone corp.example.org -check 192.0.2.53 127.0.0.1:1053

`

// importOptions is what one call of "kms import" asks for.
type importOptions struct {
	zone      string // absolute, lower-case; empty: the file says it
	axfr      string // server to transfer from, with its port; empty: a file
	key       tsigKey
	directory string // where relative $INCLUDE paths begin; empty: where the file is
	licensed  licenses
	check     bool
	addresses bool
	prober    *probe.Prober // nil: nobody is probed
	asJSON    bool
	args      []string // the file, or the servers to compare
}

// importRecords is "kms import".
func importRecords(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, exit, err := parseImport(args, stdout, stderr)
	if err == nil && exit >= 0 {
		return exit
	}
	var s status
	switch {
	case err != nil:
	case o.check:
		s, err = checkServers(ctx, o, stdout)
	default:
		s, err = importZone(ctx, o, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "kms import: %v\n", err)
		return exitUsage
	}
	return int(s)
}

// importZone prints the block that replaces the records of a zone.
func importZone(ctx context.Context, o importOptions, stdout io.Writer) (status, error) {
	z := &zoneContents{}
	var err error
	if o.axfr != "" {
		err = z.transfer(ctx, o.axfr, o.zone, o.key)
	} else {
		err = z.readFile(o.args[0], o.zone, o.directory)
	}
	if err != nil {
		return statusUnknown, err
	}
	plan := planImport(z, o.licensed)
	if o.prober != nil {
		plan.probe(ctx, *o.prober)
	}
	if ctx.Err() != nil {
		return statusUnknown, ctx.Err()
	}
	plan.conclude(z)
	if o.asJSON {
		return plan.status(), plan.writeJSON(stdout, o.addresses)
	}
	_, err = io.WriteString(stdout, plan.corefile(o.addresses))
	return plan.status(), err
}

// parseImport reads the command line. If the call is over with that, exit is its status; otherwise it is below 0.
func parseImport(args []string, stdout, stderr io.Writer) (o importOptions, exit int, err error) {
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var zone, key, keyFile, licensed string
	for _, name := range []string{"zone", "origin"} {
		flags.StringVar(&zone, name, "", "`NAME` of the zone; names in a file are relative to it before any $ORIGIN")
	}
	flags.StringVar(&o.axfr, "axfr", "", "transfer the zone from `HOST[:PORT]`")
	flags.StringVar(&key, "key", "", "TSIG key for -axfr, `NAME:ALGORITHM:SECRET`, as in update.example.org:hmac-sha256:BASE64; rather use -keyfile")
	flags.StringVar(&keyFile, "keyfile", "", "`FILE` with the TSIG key for -axfr, as tsig-keygen writes it")
	flags.StringVar(&o.directory, "directory", "", "`DIR` where relative $INCLUDE paths begin, as named's option (where the file is)")
	flags.StringVar(&licensed, "licensed", "", "`FILE|NAME,NAME`: the hosts that are licensed; a record of any other is commented out")
	flags.BoolVar(&o.addresses, "addresses", false, "write the addresses that the zone has into the block, so that names are not looked up")
	noProbe := flags.Bool("no-probe", false, "ask no host whether it serves")
	timeout := flags.Duration("timeout", config.Default().Probe.Timeout, "of a probe, for each address of a host")
	flags.BoolVar(&o.check, "check", false, "compare what two servers answer")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	flags.Usage = func() { fmt.Fprint(flags.Output(), importUsage); flags.PrintDefaults() }

	for rest := args; ; { // words may stand before options
		if exit, ok := parseFlags(flags, rest, stdout); !ok {
			return o, exit, nil
		}
		if flags.NArg() == 0 {
			break
		}
		o.args, rest = append(o.args, flags.Arg(0)), flags.Args()[1:]
	}
	if !*noProbe {
		o.prober = &probe.Prober{Timeout: *timeout, Gate: make(probe.Gate, probe.InFlight)}
	}
	if *timeout <= 0 || *timeout > time.Hour {
		return o, -1, fmt.Errorf("timeout %s: from above 0 to 1h", *timeout)
	}
	if zone != "" {
		if o.zone, err = canonicalName(zone); err != nil {
			return o, -1, fmt.Errorf("-zone %q: a domain name, as in corp.example.org", zone)
		}
	}
	if o.licensed, err = readLicenses(licensed); err != nil {
		return o, -1, err
	}
	if o.key, err = readKey(key, keyFile); err != nil {
		return o, -1, err
	}
	return o, -1, o.settle()
}

// settle checks that the options go together, and completes the names of servers.
func (o *importOptions) settle() (err error) {
	switch {
	case o.check && (len(o.args) != 2 || o.zone == "" || o.axfr != ""):
		return errors.New("-check takes two servers and a zone: coredns kms import -zone NAME -check OLD[:PORT] NEW[:PORT]")
	case o.check:
		for i, server := range o.args {
			if o.args[i], err = serverAddress(server); err != nil {
				return err
			}
		}
	case o.axfr != "" && (o.zone == "" || len(o.args) > 0):
		return errors.New("-axfr takes a zone and no file: coredns kms import -zone NAME -axfr HOST[:PORT]")
	case o.axfr != "":
		o.axfr, err = serverAddress(o.axfr)
	case len(o.args) != 1:
		return errors.New("one zone file: coredns kms import -zone NAME FILE; or -axfr HOST[:PORT], or -check OLD NEW")
	}
	if o.key.name != "" && o.axfr == "" {
		return errors.New("a TSIG key is for -axfr alone")
	}
	return err
}

// serverAddress is s with the port of DNS, if it has none.
func serverAddress(s string) (string, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return net.JoinHostPort(a.String(), "53"), nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil && !strings.ContainsAny(s, ":[]") {
		host, port, err = s, "53", nil
	}
	n, numErr := strconv.ParseUint(port, 10, 16)
	if _, ok := dns.IsDomainName(host); !ok || err != nil || numErr != nil || n == 0 {
		return "", fmt.Errorf("%q: a DNS server, as in 192.0.2.53, ns1.example.org or 127.0.0.1:1053", s)
	}
	return net.JoinHostPort(host, port), nil
}
