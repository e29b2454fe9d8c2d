package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// maxNames is how many names may have announced addresses, for each announced host that there may be.
const maxNames = 4

// ErrFull is returned for a claim beyond Max, and for an address beyond its bounds.
var ErrFull = errors.New("no place left")

// Draft is what is announced, open for one edit. It is good for as long as the edit runs, on the goroutine that runs it.
type Draft struct {
	book   *book
	before *journal // this edit
	max    int
}

// Claims is all claims, in order of Target and Port.
func (d *Draft) Claims() []Claim { return d.book.sorted() }

// Find is the claim of target and port.
func (d *Draft) Find(target string, port uint16) (Claim, bool) {
	c, ok := d.book.claims[Claim{Target: strings.ToLower(target), Port: port}.Endpoint()]
	return c, ok
}

// Put adds c, or replaces the claim of its target and port. A zero Updated is now. When it was last healthy is kept from that claim unless c says
// something else, even if this very edit removed it. It fails with ErrFull if there are as many as may be and none of them
// can be displaced, and with what is wrong if c cannot be a host.
func (d *Draft) Put(c Claim) error {
	if c.Updated.IsZero() {
		c.Updated = time.Now()
	}
	c, err := c.normal()
	if err != nil {
		return err
	}
	endpoint := c.Endpoint()
	if _, ok := d.book.claims[endpoint]; !ok && len(d.book.claims) >= d.max && !d.displace() {
		return fmt.Errorf("%d announced hosts: %w: \"max\" of the update block says how many there may be", len(d.book.claims), ErrFull)
	}
	d.before.claim(d.book, endpoint)
	if c.Healthy.IsZero() {
		c.Healthy = d.book.claims[endpoint].Healthy
	}
	if removed := d.before.claims[endpoint]; c.Healthy.IsZero() && removed != nil {
		c.Healthy = removed.Healthy
	}
	d.book.claims[endpoint] = c
	return nil
}

// proofTime is how long a claim has to prove itself before it may be displaced: a few times what the first probes and the
// next look at who is up take.
const proofTime = 3 * time.Minute

// displace takes the claim out that never proved itself and was not renewed for the longest time, and says whether there was
// one: who announces hosts that are none must not keep others out for a whole lease. Where there are more claims than may be,
// since a reload lowered Max, nobody comes in.
func (d *Draft) displace() bool {
	if len(d.book.claims) > d.max {
		return false
	}
	var stalest *Claim
	for _, c := range d.book.sorted() {
		if c.Healthy.IsZero() && time.Since(c.Updated) >= proofTime && (stalest == nil || c.Updated.Before(stalest.Updated)) {
			stalest = &c
		}
	}
	if stalest == nil {
		return false
	}
	d.before.displaced = append(d.before.displaced, *stalest)
	d.Remove(stalest.Target, stalest.Port)
	return true
}

// Remove takes the claim of target and port away, if there is one.
func (d *Draft) Remove(target string, port uint16) {
	endpoint := Claim{Target: strings.ToLower(target), Port: port}.Endpoint()
	d.before.claim(d.book, endpoint)
	delete(d.book.claims, endpoint)
}

// Addresses is the announced addresses of name, in order, not to be changed.
func (d *Draft) Addresses(name string) []Address { return d.book.addresses[strings.ToLower(name)] }

// PutAddress adds a, or replaces the announcement of that address for that name. A zero Updated is now. It fails with ErrFull if the name has
// config.MaxAddresses, or if there are too many names and each of them is the target of a claim; and with what is wrong if
// clients cannot use a.
func (d *Draft) PutAddress(a Address) error {
	if a.Updated.IsZero() {
		a.Updated = time.Now()
	}
	a, err := a.normal()
	if err != nil {
		return err
	}
	all := d.book.addresses[a.Name]
	i, found := d.book.indexOf(a.Name, a.IP)
	switch {
	case !found && len(all) >= config.MaxAddresses:
		return fmt.Errorf("%d addresses of %s: %w: a host has at most that many", len(all), a.Name, ErrFull)
	case len(all) == 0 && len(d.book.addresses) >= maxNames*d.max:
		if !d.makePlace(a.Owner) && !d.makePlace("") {
			return fmt.Errorf("addresses of %d names: %w: \"max\" of the update block says how many there may be", len(d.book.addresses), ErrFull)
		}
	}
	d.before.name(d.book, a.Name)
	all = slices.Clone(all)
	if found {
		all[i] = a
	} else {
		all = slices.Insert(all, i, a)
	}
	d.book.set(a.Name, all)
	return nil
}

// makePlace forgets the addresses of the name that was not renewed for the longest time and is no claim's target, and says
// whether there was one. Only those that are all owner's count, unless that is empty: who announces many names shall drive
// out its own.
func (d *Draft) makePlace(owner string) bool {
	stalest, renewed := "", time.Time{}
	for name, all := range d.book.addresses {
		others := func(a Address) bool { return a.Owner != owner }
		if d.book.targeted(name) || owner != "" && slices.ContainsFunc(all, others) {
			continue
		}
		last := slices.MaxFunc(all, func(x, y Address) int { return x.Updated.Compare(y.Updated) }).Updated
		if stalest == "" || last.Before(renewed) || last.Equal(renewed) && name < stalest {
			stalest, renewed = name, last
		}
	}
	if stalest == "" {
		return false
	}
	d.before.name(d.book, stalest)
	d.book.set(stalest, nil)
	return true
}

// RemoveAddress takes an announced address away, if there is it.
func (d *Draft) RemoveAddress(name string, ip netip.Addr) {
	name = strings.ToLower(name)
	i, found := d.book.indexOf(name, ip)
	if !found {
		return
	}
	d.before.name(d.book, name)
	d.book.set(name, slices.Delete(slices.Clone(d.book.addresses[name]), i, i+1))
}
