// Package lint says of a Corefile what is legal and yet unwise. It reads no file and asks nobody: whoever calls it tells it what
// the Corefile says, what the zones of it say, and what was found on the network, as plain values.
package lint

import (
	"net/netip"
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// Corefile is what a Corefile says, and what was found out about what it says.
type Corefile struct {
	File    string
	Servers []Server          // in the order of the Corefile
	Local   []netip.Addr      // addresses of this machine; none: not known
	Names   map[string]Name   // host names, absolute and lower-case; a name that is not there was asked of nobody
	Probes  map[string]string // what is wrong with a KMS host, by endpoint; empty: nothing. Who is not there was not asked
	Paths   map[string]Path   // of stores and control sockets; one that is not there was not looked at
	Log     []string          // what the server would complain of in its log at its start
}

// Path is what is at a path of this machine.
type Path struct {
	Is        string // a file, a directory, a socket, in words; empty if nothing is there
	Directory bool   // what it is to stand in is one
}

// Named is the paths that rules want to know something of, in alphabetical order.
func (c *Corefile) Named() (all []string) {
	for _, s := range c.Servers {
		for _, b := range s.Blocks {
			all = append(all, b.Store, b.Control)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(path string) bool { return path == "" })
}

// Wanted is the host names that rules want to know something of, in alphabetical order.
func (c *Corefile) Wanted() []string {
	var all []string
	for _, s := range c.Servers {
		for _, b := range s.Blocks {
			for _, h := range b.Hosts {
				all = append(all, h.Name)
			}
			if b.Responder != nil {
				all = append(all, b.Responder.Advertise.Name)
			}
			all = append(all, b.NS...)
			for _, z := range b.Below {
				all = append(all, z.MNAME)
			}
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(name string) bool { return name == "" || name == "." })
}

// Server is a server block.
type Server struct {
	Zones      []string          // absolute, lower-case
	Listens    []string          // transports and ports, as in "dns://:53"
	Directives map[string][]Line // by name; a directive that stands several times has the lines of all
	Behind     []string          // plugins that get what kms passes on, in the order of the chain
	Blocks     []Block
}

// has says whether one of names stands in the block.
func (s Server) has(names ...string) bool {
	for _, n := range names {
		if len(s.Directives[n]) > 0 {
			return true
		}
	}
	return false
}

// Line is one line of a directive.
type Line struct {
	config.Place
	Words []string // at least one
}

// Block is a kms block.
type Block struct {
	config.Block
	Places config.Places
	Fall   []string        // zones that fall through; "." is all
	Below  map[string]Zone // by zone of the block; only those for which a plugin behind kms has a zone in this process
}

// Zone is what the zone below says.
type Zone struct {
	MNAME string   // of its SOA record
	SRV   []Record // at the service name
	NS    []string // at the service name
}

// Record is an SRV record.
type Record struct {
	Target                 string // absolute, lower-case
	Port, Priority, Weight uint16
}

// Name is what is known of a host name.
type Name struct {
	Below    *Answer // says the zone below; nil: a plugin behind kms could not be asked, or has no such zone
	Resolver *Answer // says the resolver of this machine; nil: it was not asked, or did not answer
}

// Answer is an answer about a name. With neither addresses nor alias the name does not exist, or has no addresses.
type Answer struct {
	Addresses []netip.Addr
	Alias     string // what a CNAME record says, absolute and lower-case
	Err       string // why there are no addresses, in words; may be empty
	Local     bool   // there are addresses, but only such as mean nothing elsewhere: a hosts file has them for the machine itself
}

// alias is where the name leads, and empty if it is none as far as is known.
func (n Name) alias() string {
	for _, a := range []*Answer{n.Below, n.Resolver} {
		if a != nil && a.Alias != "" {
			return a.Alias
		}
	}
	return ""
}

// addresses is all that are known.
func (n Name) addresses() (all []netip.Addr) {
	for _, a := range []*Answer{n.Below, n.Resolver} {
		if a != nil {
			all = append(all, a.Addresses...)
		}
	}
	return all
}
