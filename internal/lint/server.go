package lint

import (
	"net/netip"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

var serverRules = []Rule{
	{Name: "no-kms", Severity: Warning, whole: noKMS,
		Reason: "without a kms block nobody is told of a KMS host: is it the Corefile that was meant, and all of it?"},
	{Name: "server-log", Severity: Warning, whole: serverLog,
		Reason: "what plugins complain of while they read the Corefile"},
	{Name: "unobserved", Severity: Note, server: unobserved,
		Reason: "errors says what went wrong, prometheus whom to alert, ready when to send clients"},
	{Name: "loadbalance-tsig", Severity: Warning, server: loadbalanceTSIG,
		Reason: "loadbalance moves additional records behind the signature of a signed answer, which is then malformed"},
	{Name: "status-open", Severity: Warning, block: statusOpen,
		Reason: "the status page has the names and addresses of all clients, and no password"},
	{Name: "path-in-tmp", Severity: Warning, block: pathInTmp,
		Reason: "in a directory where everybody may make files somebody else may make this one first, and restarts clean it up"},
}

func statusOpen(v view, say sayer) {
	b := v.block
	if b.Status == nil {
		return
	}
	on, err := netip.ParseAddrPort(b.Status.Address)
	if err != nil || on.Addr().IsUnspecified() { // an error: it is :PORT
		say(b.Places.Of("status"), "status %s: everybody who reaches this machine sees the names and addresses of all clients, without "+
			"a password; an address that only you reach is better, as in \"status 127.0.0.1:8080\" behind a proxy that asks who it is",
			b.Status.Address)
	}
}

func noKMS(c *Corefile, say sayer) {
	for _, s := range c.Servers {
		if len(s.Blocks) > 0 {
			return
		}
	}
	if len(c.Servers) == 0 {
		say(config.Place{File: c.File}, "nothing in this Corefile: a server that starts with it answers nobody, and one that runs "+
			"refuses to reload it")
		return
	}
	say(config.Place{File: c.File}, "no kms block in this Corefile: a server that reloads it tells nobody of KMS hosts any more, "+
		"until it reloads one with such a block (SIGUSR1, where this one has no reload plugin)")
}

func serverLog(c *Corefile, say sayer) {
	for _, line := range c.Log {
		say(config.Place{File: c.File}, "%s", line)
	}
}

func unobserved(v view, say sayer) {
	if len(v.server.Blocks) == 0 {
		return
	}
	var missing []string
	for _, name := range []string{"errors", "prometheus"} {
		if !v.server.has(name) {
			missing = append(missing, name)
		}
	}
	ready := false
	for _, s := range v.file.Servers {
		ready = ready || s.has("ready")
	}
	if !ready {
		missing = append(missing, "ready")
	}
	if len(missing) > 0 {
		say(v.server.Blocks[0].Places.Of(), "the server block has no %s; each is one line", strings.Join(missing, ", "))
	}
}

func loadbalanceTSIG(v view, say sayer) {
	if len(v.server.Blocks) > 0 && v.server.has("loadbalance") && v.server.has("tsig") {
		say(v.server.Directives["loadbalance"][0].Place, "loadbalance and tsig in one server block: signed answers with "+
			"additional records become malformed; leave loadbalance out, kms rotates its answers itself")
	}
}

func pathInTmp(v view, say sayer) {
	b := v.block
	for what, path := range map[string]string{"store": b.Store, "control": b.Control} {
		for _, open := range []string{"/tmp/", "/var/tmp/", "/dev/shm/"} {
			if strings.HasPrefix(path, open) {
				say(b.Places.Of(what), "%s %s is where everybody may make files; a directory of the server's own is better, as in "+
					"/var/lib/coredns-kms or /run/coredns-kms", what, path)
			}
		}
	}
}
