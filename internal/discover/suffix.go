package discover

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/miekg/dns"
)

// Machine is what a machine knows before it asks DNS.
type Machine struct {
	Servers []string // of resolv.conf, address and port
	Primary string   // the domain of its host name, "" if it has none
	Search  []string // of resolv.conf: its domain or search list
}

// ThisMachine reads resolv.conf at path, and finds the domain of the host name as "hostname -f" does. It always returns what it
// could find out; the error is of resolv.conf.
func ThisMachine(path string) (Machine, error) {
	var m Machine
	host, _ := os.Hostname()
	_, m.Primary, _ = strings.Cut(strings.TrimSuffix(host, "."), ".")
	if m.Primary == "" && host != "" {
		if f, err := os.Open("/etc/hosts"); err == nil {
			defer f.Close()
			m.Primary = domainIn(f, host)
		}
	}
	c, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return m, err
	}
	for _, s := range c.Servers {
		m.Servers = append(m.Servers, net.JoinHostPort(s, c.Port))
	}
	for _, s := range c.Search {
		if s = strings.Trim(s, "."); s != "" {
			m.Search = append(m.Search, s)
		}
	}
	return m, nil
}

// maxHostsFile bounds how much of a hosts file is read, in octets.
const maxHostsFile = 1 << 20

// domainIn returns the domain that a hosts file gives to host: that of the first name of its line.
func domainIn(hosts io.Reader, host string) string {
	for s := bufio.NewScanner(io.LimitReader(hosts, maxHostsFile)); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		words := strings.Fields(line)
		for i := 1; i < len(words); i++ {
			if !strings.EqualFold(words[i], host) {
				continue
			}
			if _, domain, ok := strings.Cut(strings.Trim(words[1], "."), "."); ok && domain != "localdomain" {
				return domain
			}
			break
		}
	}
	return ""
}

// Suffixes is under what a client on m looks: its primary suffix, then the search list.
func (m Machine) Suffixes() []Suffix {
	var all []Suffix
	if m.Primary != "" {
		all = append(all, Suffix{Name: m.Primary, Source: "the domain of this machine's name"})
	}
	for _, s := range m.Search {
		all = append(all, Suffix{Name: s, Source: "the search list of resolv.conf"})
	}
	return all
}

// distinct is suffixes in lower case without dots around, each once, and how many are beyond the bound or no names.
func distinct(suffixes []Suffix) (kept []Suffix, dropped []string) {
	kept = []Suffix{}
	seen := make(map[string]bool)
	for _, s := range suffixes {
		s.Name = strings.ToLower(strings.Trim(s.Name, "."))
		switch _, ok := dns.IsDomainName(service(s.Name)); {
		case s.Name == "" || seen[s.Name]:
		case !ok || len(kept) == MaxSuffixes:
			dropped = append(dropped, s.Name)
		default:
			kept = append(kept, s)
		}
		seen[s.Name] = true
	}
	return kept, dropped
}

// service is the name that clients ask for under suffix, without a final dot.
func service(suffix string) string {
	if suffix == "" {
		return "_vlmcs._tcp"
	}
	return "_vlmcs._tcp." + suffix
}

const partSuffixes = "DNS suffixes"

// suffixSteps says under what a client looks.
func (w *walk) suffixSteps(dropped []string) {
	for _, s := range w.r.Suffixes {
		w.step(Step{Part: partSuffixes, Mark: Good, Text: fmt.Sprintf("%s, %s", s.Name, s.Source)})
	}
	for _, d := range dropped {
		w.step(Step{Part: partSuffixes, Mark: Warn, Text: fmt.Sprintf("%s is left out: it is no domain name, or more than %d "+
			"suffixes are given", harmless(d), MaxSuffixes)})
	}
	if len(w.r.Suffixes) == 0 {
		w.step(Step{Part: partSuffixes, Mark: Fail, Code: codeNoSuffix,
			Text: "there is none: a Windows client without a DNS suffix does not send a single question",
			Change: []string{
				"give the machine a primary DNS suffix (join it to the domain, or sysdm.cpl, Change, More), or have DHCP hand out option 15",
				"or tell the client where to look: slmgr /skms-domain corp.example.org",
				"or to see what another client finds: coredns kms discover -suffix corp.example.org",
			}})
		return
	}
	searched := 0
	for _, s := range w.r.Suffixes {
		if !s.Given {
			searched++
		}
	}
	if searched > 1 {
		w.step(Step{Part: partSuffixes, Mark: Note, Text: "a Windows client on this network may know only the first: Windows ignores " +
			"search lists from DHCP (option 119, as KubeVirt hands it out) and takes the domain name (option 15)"})
	}
}
