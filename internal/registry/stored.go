package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/store"
)

// Values are JSON under "<key of the registry>|<endpoint>" in the bucket Registrations, and under
// "<key of the registry>|<name>|<address>" in Addresses. Neither names nor addresses have a "|".

// load reads what st has of the registry called key into b. A value that cannot be read is an error that names it, and
// nothing is changed: what it was may matter to somebody.
func (b *book) load(st *store.Store, key string) error {
	return st.View(func(tx *store.Tx) error {
		err := tx.Each(store.Registrations, func(k string, value []byte) error {
			owner, endpoint := split(k)
			if owner != key {
				return nil
			}
			c, err := readClaim(value, endpoint)
			if err != nil {
				return fmt.Errorf("%s: damaged value under %q in %s: %w", st.Path(), k, store.Registrations, err)
			}
			b.claims[endpoint] = c
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Each(store.Addresses, func(k string, value []byte) error {
			rest, ip := split(k)
			owner, name := split(rest)
			if owner != key {
				return nil
			}
			a, err := readAddress(value, name, ip)
			if err != nil {
				return fmt.Errorf("%s: damaged value under %q in %s: %w", st.Path(), k, store.Addresses, err)
			}
			b.insert(a)
			return nil
		})
	})
}

func (b *book) insert(a Address) {
	i, found := b.indexOf(a.Name, a.IP)
	if !found {
		b.addresses[a.Name] = slices.Insert(b.addresses[a.Name], i, a)
	}
}

func split(key string) (before, after string) {
	i := strings.LastIndexByte(key, '|')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}

func readClaim(value []byte, endpoint string) (Claim, error) {
	var c Claim
	if err := decode(value, &c); err != nil {
		return c, err
	}
	c, err := c.normal()
	if err == nil && c.Endpoint() != endpoint {
		err = fmt.Errorf("it is of %s", c.Endpoint())
	}
	if err == nil && c.Updated.IsZero() {
		err = fmt.Errorf("it was never announced")
	}
	return c, err
}

func readAddress(value []byte, name, ip string) (Address, error) {
	var a Address
	if err := decode(value, &a); err != nil {
		return a, err
	}
	a, err := a.normal()
	if err == nil && (a.Name != name || a.IP.String() != ip) {
		err = fmt.Errorf("it is %s of %s", a.IP, a.Name)
	}
	return a, err
}

// decode reads exactly one JSON value with known fields.
func decode(value []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the value")
	}
	return nil
}

// difference is what a transaction has to do to the store so that it has what the book has.
type difference struct {
	claims    map[string]*Claim // by endpoint; nil: to be deleted
	addresses map[addressKey]*Address
}

type addressKey struct {
	name string
	ip   netip.Addr
}

// since is what is different in b from what j notes.
func (b *book) since(j *journal) difference {
	d := difference{claims: map[string]*Claim{}, addresses: map[addressKey]*Address{}}
	for endpoint, was := range j.claims {
		is, ok := b.claims[endpoint]
		switch {
		case !ok && was != nil:
			d.claims[endpoint] = nil
		case ok && (was == nil || !was.equal(is)):
			d.claims[endpoint] = &is
		}
	}
	for name, before := range j.addresses {
		for _, was := range before {
			if _, ok := b.indexOf(name, was.IP); !ok {
				d.addresses[addressKey{name, was.IP}] = nil
			}
		}
		for _, is := range b.addresses[name] {
			if !slices.ContainsFunc(before, is.equal) {
				d.addresses[addressKey{name, is.IP}] = &is
			}
		}
	}
	return d
}

func (d difference) empty() bool { return len(d.claims) == 0 && len(d.addresses) == 0 }

// write makes d durable.
func (d difference) write(st *store.Store, key string) error {
	return st.Update(func(tx *store.Tx) error {
		for endpoint, c := range d.claims {
			if err := put(tx, store.Registrations, key+"|"+endpoint, c, c == nil); err != nil {
				return err
			}
		}
		for k, a := range d.addresses {
			if err := put(tx, store.Addresses, key+"|"+k.name+"|"+k.ip.String(), a, a == nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func put(tx *store.Tx, b store.Bucket, key string, value any, gone bool) error {
	if gone {
		return tx.Delete(b, key)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return tx.Put(b, key, text)
}

// health is when each claim was last up, as stored.
func (b *book) health() map[string]time.Time {
	all := make(map[string]time.Time, len(b.claims))
	for endpoint, c := range b.claims {
		all[endpoint] = c.Healthy
	}
	return all
}
