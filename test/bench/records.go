package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// records is what every contender answers: _vlmcs._tcp in each of some zones, with the same hosts in tiers of two and their
// addresses. The hosts are known by address, from 127.0.0.1, so that one kms block with one pool serves all zones; the others
// get the names that kms makes up for them.
type records struct {
	dir          string // for zone files
	port         int    // of all hosts
	hosts, zones int

	// address is that of a host, if it is not hostAddress.
	address func(i int) string
}

const ttl = 30 // as kms has it by default

func zone(i int) string { return fmt.Sprintf("zone%05d.example.", i) }

func hostAddress(i int) string { return fmt.Sprintf("127.0.0.%d", i+1) }

// label is the name that kms makes up for a host with an address.
func label(address string) string { return "kms-" + strings.ReplaceAll(address, ".", "-") }

// at is the address of host i.
func (r records) at(i int) string {
	if r.address != nil {
		return r.address(i)
	}
	return hostAddress(i)
}

// preference is the priority and weight of host i: 0 10, 0 30, 1 10, 1 30 and so on.
func preference(i int) (priority, weight int) { return i / 2, 10 + 20*(i%2) }

// srv is the data of the SRV record of host i; its target is relative to below.
func (r records) srv(i int, below string) string {
	priority, weight := preference(i)
	return fmt.Sprintf("%d %d %d %s%s", priority, weight, r.port, label(r.at(i)), below)
}

// write writes a file below dir unless it is there, and returns its name.
func (r records) write(name string, text func(*strings.Builder)) (string, error) {
	name = filepath.Join(r.dir, name)
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return name, err
	}
	var b strings.Builder
	text(&b)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", err
	}
	return name, os.WriteFile(name, []byte(b.String()), 0o644)
}

// oneZone is a zone file of example. that holds them all. It has no NS record: the file plugin would put it into the authority
// section of every answer, which nobody else has.
func (r records) oneZone() (string, error) {
	return r.write("zone", func(z *strings.Builder) {
		z.WriteString("@ 3600 IN SOA ns.dns hostmaster 1 7200 1800 86400 30\n")
		for n := range r.zones {
			for i := range r.hosts {
				fmt.Fprintf(z, "_vlmcs._tcp.%s %d IN SRV %s\n", zone(n), ttl, r.srv(i, "."+zone(n)))
			}
			for i := range r.hosts {
				fmt.Fprintf(z, "%s.%s %d IN A %s\n", label(r.at(i)), zone(n), ttl, r.at(i))
			}
		}
	})
}

// What a zone of its own begins with; without an NS record only CoreDNS takes it.
const (
	soa      = "@ 30 IN SOA ns hostmaster 1 7200 1800 86400 30\n"
	zoneHead = soa + "@ 30 IN NS ns\nns 30 IN A 127.0.0.1\n"
)

// zoneEach is a directory, of that name, with a file for each zone, under the zone's name without the last dot. It begins with
// head; service writes what answers for _vlmcs._tcp in it, nil are the SRV records.
func (r records) zoneEach(name, head string, service func(z *strings.Builder, n int)) (string, error) {
	for n := range r.zones {
		_, err := r.write(filepath.Join(name, strings.TrimSuffix(zone(n), ".")), func(z *strings.Builder) {
			z.WriteString(head)
			if service != nil {
				service(z, n)
			}
			for i := range r.hosts {
				if service == nil {
					fmt.Fprintf(z, "_vlmcs._tcp %d IN SRV %s\n", ttl, r.srv(i, ""))
				}
				fmt.Fprintf(z, "%s %d IN A %s\n", label(r.at(i)), ttl, r.at(i))
			}
		})
		if err != nil {
			return "", err
		}
	}
	return filepath.Join(r.dir, name), nil
}

// network is how the records are asked for: what UDP has no room for, over TCP.
func (r records) network() string {
	if r.hosts > 10 {
		return "tcp"
	}
	return "udp"
}

// queries is dnsperf's input.
func (r records) queries() (string, error) {
	return r.write("queries", func(q *strings.Builder) {
		for i := range r.zones {
			fmt.Fprintf(q, "_vlmcs._tcp.%s SRV\n", zone(i))
		}
	})
}

// kms is the block that answers with the records. Only what the records ask for differs from the defaults.
func (r records) kms() (string, error) {
	var b strings.Builder
	b.WriteString("kms")
	for i := range r.zones {
		b.WriteString(" " + zone(i))
	}
	b.WriteString(" {\n")
	for i := range r.hosts {
		priority, weight := preference(i)
		fmt.Fprintf(&b, "host %s:%d priority %d weight %d\n", r.at(i), r.port, priority, weight)
	}
	return b.String() + "}\n", nil
}

// kmsWatched is kms in the company that it has in earnest.
func (r records) kmsWatched() (string, error) {
	block, err := r.kms()
	return "errors\nprometheus 127.0.0.1:0\n" + block, err
}

func (r records) constant() (string, error) {
	zone, err := r.oneZone()
	return fmt.Sprintf("constant %s example\n", zone), err
}

func (r records) constantOctets() (string, error) {
	zone, err := r.oneZone()
	return fmt.Sprintf("constant %s example octets\n", zone), err
}

func (r records) file() (string, error) {
	zone, err := r.oneZone()
	return fmt.Sprintf("file %s example\n", zone), err
}

func (r records) template() (string, error) {
	const group = "{{ .Group.zone }}"
	var b strings.Builder
	b.WriteString("template IN SRV example {\nmatch \"^_vlmcs[.]_tcp[.](?P<zone>zone[0-9]+[.]example[.])$\"\n")
	for i := range r.hosts {
		fmt.Fprintf(&b, "answer \"{{ .Name }} %d IN SRV %s\"\n", ttl, r.srv(i, "."+group))
	}
	for i := range r.hosts {
		fmt.Fprintf(&b, "additional \"%s.%s %d IN A %s\"\n", label(r.at(i)), group, ttl, r.at(i))
	}
	return b.String() + "}\n", nil
}

// check says what is wrong with m as an answer for zone number z; bare is whether it is to be without addresses.
func (r records) check(m *dns.Msg, z int, bare bool) error {
	var answer, extra []string
	for i := range r.hosts {
		answer = append(answer, fmt.Sprintf("_vlmcs._tcp.%s\t%d\tIN\tSRV\t%s", zone(z), ttl, r.srv(i, "."+zone(z))))
		if !bare {
			extra = append(extra, fmt.Sprintf("%s.%s\t%d\tIN\tA\t%s", label(r.at(i)), zone(z), ttl, r.at(i)))
		}
	}
	rest := slices.DeleteFunc(slices.Clone(m.Extra), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	switch {
	case m.Rcode != dns.RcodeSuccess || !m.Authoritative || m.Truncated || len(m.Ns) > 0 || m.IsEdns0() == nil:
		return fmt.Errorf("want an authoritative answer with EDNS and no authority section, got:\n%v", m)
	case !sameRecords(m.Answer, answer):
		return fmt.Errorf("want the answer %q, got:\n%v", answer, m)
	case !sameRecords(rest, extra):
		return fmt.Errorf("want the addresses %q, got:\n%v", extra, m)
	}
	return nil
}

// sameRecords compares without regard to the order, which is the server's to choose.
func sameRecords(got []dns.RR, want []string) bool {
	var all []string
	for _, rr := range got {
		all = append(all, rr.String())
	}
	slices.Sort(all)
	slices.Sort(want)
	return slices.Equal(all, want)
}
