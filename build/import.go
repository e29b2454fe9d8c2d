package main

import (
	"context"
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
	"github.com/urfave/cli/v3"
)

const importText = `Finds the _vlmcs._tcp records of a zone, in a file as BIND has it or by a transfer from a running
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
  coredns kms import -zone corp.example.org -check 192.0.2.53 127.0.0.1:1053`

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

// importCommand is "kms import".
func importCommand() *cli.Command {
	return &cli.Command{
		Name:  "import",
		Usage: "take over the KMS hosts of a zone file or of a running DNS server",
		UsageText: "coredns kms import [-zone NAME] [FLAG...] FILE\n" +
			"coredns kms import -zone NAME [FLAG...] -axfr HOST[:PORT]\n" +
			"coredns kms import -zone NAME [FLAG...] -check OLD[:PORT] NEW[:PORT]",
		Description: importText,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "zone", Aliases: []string{"origin"}, Usage: "`NAME` of the zone; names in a file are relative to it before any $ORIGIN"},
			&cli.StringFlag{Name: "axfr", Usage: "transfer the zone from `HOST[:PORT]`"},
			&cli.StringFlag{Name: "key",
				Usage: "TSIG key for -axfr, `NAME:ALGORITHM:SECRET`, as in update.example.org:hmac-sha256:BASE64; rather use -keyfile"},
			&cli.StringFlag{Name: "keyfile", TakesFile: true, Usage: "`FILE` with the TSIG key for -axfr, as tsig-keygen writes it"},
			&cli.StringFlag{Name: "directory", TakesFile: true,
				Usage: "`DIR` where relative $INCLUDE paths begin, as named's option (where the file is); what is outside of both is not read"},
			&cli.StringFlag{Name: "licensed", TakesFile: true,
				Usage: "the hosts that are licensed, `FILE|NAME,NAME`; a record of any other is commented out"},
			&cli.BoolFlag{Name: "addresses", Usage: "write the addresses that the zone has into the block, so that names are not looked up"},
			&cli.BoolFlag{Name: "no-probe", Usage: "ask no host whether it serves"},
			&cli.DurationFlag{Name: "timeout", Value: config.Default().Probe.Timeout, Usage: "`DURATION` of a probe, for each address of a host"},
			&cli.BoolFlag{Name: "check", Usage: "compare what two servers answer"},
			jsonFlag(),
		},
		ShellComplete: argumentFiles,
		Action:        does(importRecords),
	}
}

func importRecords(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
	o, err := parseImport(cmd)
	switch {
	case err != nil:
		return statusUnknown, err
	case o.check:
		return checkServers(ctx, o, cmd.Writer)
	}
	return importZone(ctx, o, cmd.Writer)
}

// importZone prints the block that replaces the records of a zone.
func importZone(ctx context.Context, o importOptions, stdout io.Writer) (exitStatus, error) {
	z := &zoneContents{}
	var err error
	if o.axfr != "" {
		err = z.transfer(ctx, o.axfr, o.zone, o.key)
	} else {
		err = z.readFile(o.args[0], o.zone, o.directory, zoneMost)
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

// parseImport is what the flags of cmd say.
func parseImport(cmd *cli.Command) (o importOptions, err error) {
	o = importOptions{
		axfr:      cmd.String("axfr"),
		directory: cmd.String("directory"),
		check:     cmd.Bool("check"),
		addresses: cmd.Bool("addresses"),
		asJSON:    cmd.Bool("json"),
		args:      cmd.Args().Slice(),
	}
	timeout := cmd.Duration("timeout")
	if timeout <= 0 || timeout > time.Hour {
		return o, misuse("timeout %s: from above 0 to 1h", timeout)
	}
	if !cmd.Bool("no-probe") {
		o.prober = &probe.Prober{Timeout: timeout, Gate: make(probe.Gate, probe.InFlight)}
	}
	if zone := cmd.String("zone"); zone != "" {
		if o.zone, err = canonicalName(zone); err != nil {
			return o, misuse("-zone %q: a domain name, as in corp.example.org", zone)
		}
	}
	if o.licensed, err = readLicenses(cmd.String("licensed")); err != nil {
		return o, err
	}
	if o.key, err = readKey(cmd.String("key"), cmd.String("keyfile")); err != nil {
		return o, err
	}
	return o, o.settle()
}

// settle checks that the options go together, and completes the names of servers.
func (o *importOptions) settle() (err error) {
	switch {
	case o.check && (len(o.args) != 2 || o.zone == "" || o.axfr != ""):
		return misuse("-check takes two servers and a zone: coredns kms import -zone NAME -check OLD[:PORT] NEW[:PORT]")
	case o.check:
		for i, server := range o.args {
			if o.args[i], err = serverAddress(server); err != nil {
				return err
			}
		}
	case o.axfr != "" && (o.zone == "" || len(o.args) > 0):
		return misuse("-axfr takes a zone and no file: coredns kms import -zone NAME -axfr HOST[:PORT]")
	case o.axfr != "":
		o.axfr, err = serverAddress(o.axfr)
	case len(o.args) != 1:
		return misuse("one zone file: coredns kms import -zone NAME FILE; or -axfr HOST[:PORT], or -check OLD NEW")
	}
	if o.key.name != "" && o.axfr == "" {
		return misuse("a TSIG key is for -axfr alone")
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
