package probe

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// Resolver finds the addresses of host names through the machine's own resolver (resolv.conf and hosts file). The pure Go
// one, because it stops when it is told to; getaddrinfo would hold a thread until it is done.
type Resolver struct{ net net.Resolver }

// NewResolver returns a Resolver.
func NewResolver() *Resolver { return &Resolver{net.Resolver{PreferGo: true}} }

// Resolve returns the addresses of name (absolute), IPv4 first, each once, in ascending order so that a resolver that
// rotates its answers does not look like a host that moves; at most config.MaxAddresses of them.
func (r *Resolver) Resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	found, err := r.net.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, func(a, b netip.Addr) int { return a.Compare(b) })
	found = slices.Compact(found)
	return found[:min(len(found), config.MaxAddresses)], nil
}
