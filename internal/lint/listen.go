package lint

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

var listenRules = []Rule{
	{Name: "address-taken", Severity: Error, whole: addressTaken,
		Reason: "two that listen on one address: the second is refused it, and the server does not start"},
	{Name: "host-is-responder", Severity: Warning, block: hostIsResponder,
		Reason: "a responder that has itself for a host calls itself until its connections are used up"},
	{Name: "control-path", Severity: Error, block: controlPath,
		Reason: "the server does not start if it cannot make its control socket"},
	{Name: "store-path", Severity: Warning, block: storePath,
		Reason: "without its store the server answers, and forgets drains, announced hosts and clients at a restart"},
}

// listener is what listens on an address.
type listener struct {
	what  string // the directive
	on    netip.AddrPort
	where config.Place
	block int // the kms block, counted
}

// listeners is what kms blocks listen on, in the order of the Corefile.
func (c *Corefile) listeners() (all []listener) {
	n := 0
	add := func(b Block, what, address, place string) {
		if on, ok := listenOn(address); ok {
			all = append(all, listener{what + " " + address, on, b.Places.Of(place), n})
		}
	}
	for _, s := range c.Servers {
		for _, b := range s.Blocks {
			n++
			if b.Responder != nil {
				add(b, "responder", b.Responder.Address, "responder")
			}
			for _, r := range b.Rehearse {
				add(b, "rehearse", r.Address, "rehearse "+r.Address)
			}
			if b.Status != nil {
				add(b, "status", b.Status.Address, "status")
			}
		}
	}
	return all
}

// listenOn reads an address to listen on: host:port or :port.
func listenOn(address string) (netip.AddrPort, bool) {
	on, err := netip.ParseAddrPort(address)
	if err != nil {
		on, err = netip.ParseAddrPort("[::]" + address)
	}
	return netip.AddrPortFrom(on.Addr().Unmap(), on.Port()), err == nil
}

// collides says whether only one can listen on a and b. Who listens on :: has the addresses of IPv4 too.
func collides(a, b netip.AddrPort) bool {
	takes := func(a, b netip.Addr) bool { return a.IsUnspecified() && (a.Is6() || b.Is4()) }
	return a.Port() == b.Port() && (a.Addr() == b.Addr() || takes(a.Addr(), b.Addr()) || takes(b.Addr(), a.Addr()))
}

func addressTaken(c *Corefile, say sayer) {
	all := c.listeners()
	for i, l := range all {
		taken := slices.IndexFunc(all[:i], func(earlier listener) bool {
			shared := earlier.what == l.what && !strings.HasPrefix(l.what, "responder ") // one for all blocks that say so
			return collides(earlier.on, l.on) && !shared
		})
		if taken < 0 {
			continue
		}
		first, where := all[taken], "in the same block"
		if first.block != l.block {
			where = fmt.Sprintf("of the block at %s:%d", first.where.File, first.where.Line)
		}
		say(l.where, "%s: %s %s listens there already: give each an address of its own", l.what, first.what, where)
	}
}

func hostIsResponder(v view, say sayer) {
	for _, l := range v.file.listeners() {
		if !strings.HasPrefix(l.what, "responder ") {
			continue
		}
		for _, h := range v.block.Hosts {
			if slices.ContainsFunc(v.file.addresses(h), func(a netip.Addr) bool {
				return v.file.listens(l.on.String(), netip.AddrPortFrom(a, h.Port))
			}) {
				say(v.block.at(h), "%s is where this Corefile's %s listens: it would call itself; name the KMS host, or "+
					"give the responder another address", h.Endpoint(), l.what)
			}
		}
	}
}

// systemd makes the directories for services right below these when it starts them.
var madeAtStart = []string{"/run", "/var/run", "/var/lib", "/var/cache"}

// homeless says whether there is no directory for path, and none to come.
func (c *Corefile) homeless(path string) bool {
	at, looked := c.Paths[path]
	return looked && !at.Directory && !slices.Contains(madeAtStart, filepath.Dir(filepath.Dir(path)))
}

func controlPath(v view, say sayer) {
	v.path(say, "control", v.block.Control, "a socket", "RuntimeDirectory", "move it away, or name another path")
}

func storePath(v view, say sayer) {
	v.path(say, "store", v.block.Store, "a file", "StateDirectory", "name a file, as in /var/lib/coredns-kms/kms.db")
}

// path says what is in the way of the path of a property: there is no directory for it, or there is something else than what the
// server makes there, about which there is advice. setting is how systemd is told to make the directory.
func (v view) path(say sayer, property, path, makes, setting, advice string) {
	is := v.file.Paths[path].Is
	switch {
	case v.file.homeless(path):
		say(v.block.Places.Of(property), "%s %s: there is no directory %s on this machine: make it, for the user that the "+
			"server runs as (systemd: %s=)", property, path, filepath.Dir(path), setting)
	case is != "" && is != makes:
		say(v.block.Places.Of(property), "%s %s: there is something that is not %s (%s): %s", property, path, makes, is, advice)
	}
}
