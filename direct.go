package kms

import (
	"slices"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/pkg/transport"

	dnsface "github.com/coredns-kms/coredns-kms/plugin"
)

// blind are the plugins that may stand in front of kms and do not care what a reply is made of. As of CoreDNS v1.15.0 each
// passes the writer on that it was given, but for prometheus, which has one that counts octets.
var blind = []string{"metadata", "cancel", "bufsize", "prometheus", "errors", "acl", "any", "local", "loop"}

// direct is whether replies may be written as octets: not if a plugin in front works on their records, nor for a transport that
// makes messages of octets again (DNS over HTTPS, gRPC) or ends a stream with the message (QUIC).
func direct(c *dnsserver.Config) bool {
	handlers := c.Handlers()
	if len(handlers) != len(c.Plugin) || c.Transport != transport.DNS && c.Transport != transport.TLS {
		return false // as long as there is a plugin whose name is not its directive, it may be anywhere
	}
	for _, h := range handlers {
		if !slices.Contains(blind, h.Name()) {
			return h.Name() == dnsface.Name
		}
	}
	return false
}
