package registry

import "net/netip"

// Snapshot is what is announced, from one change to the next. It is never changed once published; any number of goroutines
// may read it without a lock.
type Snapshot struct {
	Claims    []Claim                 // in order of Target, Port
	Addresses map[string][]netip.Addr // announced ones, in order, by absolute lower-case name
}

// snapshot is b as it is now. addresses, if not nil, are those of the last one, which did not change.
func (b *book) snapshot(addresses map[string][]netip.Addr) *Snapshot {
	if addresses == nil {
		addresses = make(map[string][]netip.Addr, len(b.addresses))
		for name, all := range b.addresses {
			for _, a := range all {
				addresses[name] = append(addresses[name], a.IP)
			}
		}
	}
	return &Snapshot{Claims: b.sorted(), Addresses: addresses}
}
