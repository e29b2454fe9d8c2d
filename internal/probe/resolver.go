package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// Resolver finds the addresses of host names through the machine's own resolver (resolv.conf and hosts file). The pure Go
// one, because it stops when it is told to; getaddrinfo would hold a thread until it is done.
type Resolver struct{ net net.Resolver }

// NewResolver returns a Resolver.
//
// StrictErrors, because otherwise the addresses of one family are taken for all when the question for the other fails.
func NewResolver() *Resolver { return &Resolver{net.Resolver{PreferGo: true, StrictErrors: true}} }

// Lookup returns the addresses of name, IPv4 first, each once, in ascending order so that a resolver that rotates its answers
// does not look like a host that moves.
func (r *Resolver) Lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	found, err := r.net.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, func(a, b netip.Addr) int { return a.Compare(b) })
	return slices.Compact(found), nil
}

// Resolve returns those addresses of name (absolute) that clients can be told, at most config.MaxAddresses of them.
func (r *Resolver) Resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	found, err := r.Lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	found, err = tellable(name, found)
	return found[:min(len(found), config.MaxAddresses)], err
}

// tellable is those of found that mean the same machine everywhere: clients are told them. A hosts file likes to have
// 127.0.1.1 for the machine's own name, and a filtering resolver 0.0.0.0 for what it does not like.
func tellable(name string, found []netip.Addr) ([]netip.Addr, error) {
	kept := slices.DeleteFunc(slices.Clone(found), func(a netip.Addr) bool {
		return a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != ""
	})
	if len(kept) == 0 && len(found) > 0 {
		return nil, fmt.Errorf("%s has only addresses that mean nothing to clients: %v: give its address beside it", name, found)
	}
	return kept, nil
}
