package registry

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// book is everything announced. Only Run's goroutine touches it.
type book struct {
	claims    map[string]Claim     // by endpoint
	addresses map[string][]Address // by name; in order of IP, and never changed in place
}

func newBook() *book {
	return &book{claims: map[string]Claim{}, addresses: map[string][]Address{}}
}

// journal is what a book had under the keys that were touched since some moment: enough to go back to it, and to see what is
// different. An absent claim is nil, and so are absent addresses.
type journal struct {
	claims    map[string]*Claim
	addresses map[string][]Address
	displaced []Claim // by others, for want of room
}

func newJournal() *journal {
	return &journal{claims: map[string]*Claim{}, addresses: map[string][]Address{}}
}

// claim notes what b has under endpoint, unless that was noted before.
func (j *journal) claim(b *book, endpoint string) {
	if _, noted := j.claims[endpoint]; noted {
		return
	}
	j.claims[endpoint] = nil
	if c, ok := b.claims[endpoint]; ok {
		j.claims[endpoint] = &c
	}
}

// name notes what addresses b has under name, unless that was noted before.
func (j *journal) name(b *book, name string) {
	if _, noted := j.addresses[name]; !noted {
		j.addresses[name] = b.addresses[name]
	}
}

// undo takes b back to where it was before j.
func (j *journal) undo(b *book) {
	for endpoint, c := range j.claims {
		if c == nil {
			delete(b.claims, endpoint)
		} else {
			b.claims[endpoint] = *c
		}
	}
	for name, all := range j.addresses {
		b.set(name, all)
	}
}

// follow makes j, which reaches back further, cover what later notes too.
func (j *journal) follow(later *journal) {
	j.displaced = append(j.displaced, later.displaced...)
	for endpoint, c := range later.claims {
		if _, noted := j.claims[endpoint]; !noted {
			j.claims[endpoint] = c
		}
	}
	for name, all := range later.addresses {
		if _, noted := j.addresses[name]; !noted {
			j.addresses[name] = all
		}
	}
}

func (b *book) set(name string, all []Address) {
	if len(all) == 0 {
		delete(b.addresses, name)
	} else {
		b.addresses[name] = all
	}
}

// sorted is the claims by Target, then Port.
func (b *book) sorted() []Claim {
	return slices.SortedFunc(maps.Values(b.claims), func(x, y Claim) int {
		return cmp.Or(cmp.Compare(x.Target, y.Target), cmp.Compare(x.Port, y.Port))
	})
}

// targeted is whether a claim has name as its target.
func (b *book) targeted(name string) bool {
	for _, c := range b.claims {
		if c.Target == name {
			return true
		}
	}
	return false
}

func (b *book) indexOf(name string, ip netip.Addr) (int, bool) {
	return slices.BinarySearchFunc(b.addresses[name], ip, func(a Address, ip netip.Addr) int { return a.IP.Compare(ip) })
}
