package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/store"
)

// everything is a claim and an address with a value in each field.
func everything() (Claim, Address) {
	now := time.Now()
	ip := netip.MustParseAddr("2001:db8::1")
	return Claim{Target: "kms1.example.org.", Port: 1689, Priority: 65535, Weight: 1, Owner: `key "ann|" \ é.`, Source: ip,
			Hints: []netip.Addr{address(1), ip}, Updated: now, Healthy: now.Add(-time.Minute)},
		Address{Name: "kms1.example.org.", IP: ip, Owner: "address 192.0.2.1", Source: address(1), Updated: now}
}

// TestEverythingIsStored: each field comes back as it was.
func TestEverythingIsStored(t *testing.T) {
	c, a := everything()
	for _, v := range []any{c, a} {
		for i := range reflect.ValueOf(v).NumField() {
			if reflect.ValueOf(v).Field(i).IsZero() {
				t.Errorf("%T.%s is not in this test", v, reflect.TypeOf(v).Field(i).Name)
			}
		}
	}
	g := start(t, settings(4))
	g.put(c, announced(2))
	g.change(func(d *Draft) error { return d.PutAddress(a) })
	g.compare()
	g = reopen(t, settings(4), g.path)
	g.change(func(d *Draft) error {
		if got, _ := d.Find(c.Target, c.Port); !got.equal(c) {
			t.Errorf("Got %+v, want %+v", got, c)
		}
		if got := d.Addresses(a.Name); len(got) != 1 || !got[0].equal(a) {
			t.Errorf("Got %+v, want %+v", got, a)
		}
		return nil
	})
}

// TestEachFieldCounts: a change of any field alone is stored.
func TestEachFieldCounts(t *testing.T) {
	c, a := everything()
	var others []Claim
	for _, edit := range []func(*Claim){
		func(c *Claim) { c.Priority-- }, func(c *Claim) { c.Weight++ }, func(c *Claim) { c.Owner += "x" },
		func(c *Claim) { c.Source = address(9) }, func(c *Claim) { c.Hints = c.Hints[:1] },
		func(c *Claim) { c.Updated = c.Updated.Add(1) }, func(c *Claim) { c.Healthy = c.Healthy.Add(1) },
	} {
		other := c
		edit(&other)
		others = append(others, other)
	}
	if n := reflect.TypeFor[Claim]().NumField(); len(others) != n-2 { // Target and Port are the key
		t.Errorf("%d of the %d fields are in this test", len(others)+2, n)
	}
	for _, other := range others {
		g := start(t, settings(4))
		g.put(c)
		g.put(other)
		g.compare()
	}
	for _, edit := range []func(*Address){func(a *Address) { a.Owner += "x" }, func(a *Address) { a.Source = address(9) },
		func(a *Address) { a.Updated = a.Updated.Add(1) }} {
		g := start(t, settings(4))
		g.change(func(d *Draft) error { return d.PutAddress(a) })
		other := a
		edit(&other)
		g.change(func(d *Draft) error { return d.PutAddress(other) })
		g.compare()
	}
}

// TestWhatIsStored pins the keys and the shape of the values: a store of this version must be read by later ones.
func TestWhatIsStored(t *testing.T) {
	g := start(t, settings(4))
	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	g.put(Claim{Target: "kms1.example.org.", Port: 1688, Priority: 1, Weight: 2, Owner: "address 192.0.2.1", Source: address(1),
		Hints: []netip.Addr{address(1)}, Updated: at},
		Claim{Target: "kms2.example.org.", Port: 1, Owner: "key ann.", Source: address(1), Updated: at, Healthy: at})
	g.change(func(d *Draft) error {
		return d.PutAddress(Address{Name: "kms1.example.org.", IP: address(1), Owner: "key ann.", Source: address(2), Updated: at})
	})
	want := map[store.Bucket]map[string]string{
		store.Registrations: {
			"test|kms1.example.org:1688": `{"target":"kms1.example.org.","port":1688,"priority":1,"weight":2,"owner":"address 192.0.2.1",` +
				`"source":"192.0.2.1","hints":["192.0.2.1"],"updated":"2026-03-01T12:00:00.000000005Z"}`,
			"test|kms2.example.org:1": `{"target":"kms2.example.org.","port":1,"priority":0,"weight":0,"owner":"key ann.",` +
				`"source":"192.0.2.1","updated":"2026-03-01T12:00:00.000000005Z","healthy":"2026-03-01T12:00:00.000000005Z"}`,
		},
		store.Addresses: {
			"test|kms1.example.org.|192.0.2.1": `{"name":"kms1.example.org.","ip":"192.0.2.1","owner":"key ann.",` +
				`"source":"192.0.2.2","updated":"2026-03-01T12:00:00.000000005Z"}`,
		},
	}
	for bucket, values := range want {
		got := map[string]string{}
		if err := g.store.View(func(tx *store.Tx) error {
			return tx.Each(bucket, func(k string, v []byte) error { got[k] = string(v); return nil })
		}); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, values) {
			t.Errorf("%s: got\n%v, want\n%v", bucket, got, values)
		}
	}
}

// TestOneStoreManyRegistries: each has its own, whatever they are called.
func TestOneStoreManyRegistries(t *testing.T) {
	st, err := store.Open(t.TempDir() + "/kms.db")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	keys := []string{"", "a", "a|b", "a|b|c", "|", "b", "a|kms1.example.org.", strings.Repeat("x", maxKey)}
	all := map[string]*Registry{}
	for n, key := range keys {
		r, err := New(settings(4), key, st)
		if err != nil {
			t.Fatal(err)
		}
		g := &rig{Registry: r, t: t, store: st}
		g.run()
		g.put(announced(n))
		g.change(func(d *Draft) error { return d.PutAddress(record(n, address(n))) })
		g.stop()
		all[key] = r
	}
	for n, key := range keys {
		r, err := New(settings(4), key, st)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := r.book.text(), all[key].book.text(); got != want || r.Snapshot().targets() != fmt.Sprintf("kms%d", n) {
			t.Errorf("Under %q: got %s, want %s", key, got, want)
		}
	}
	if _, err := New(settings(4), strings.Repeat("x", maxKey+1), st); err == nil {
		t.Error("A name that does not fit in a key is taken")
	}
}

// TestADamagedValue is named, and nothing is overwritten.
func TestADamagedValue(t *testing.T) {
	c, a := everything()
	claim, address := marshal(t, c), marshal(t, a)
	const claimKey, addressKey = "test|kms1.example.org:1689", "test|kms1.example.org.|2001:db8::1"
	for name, damage := range map[string]struct {
		bucket     store.Bucket
		key, value string
	}{
		"an empty claim":           {store.Registrations, claimKey, ""},
		"a claim that is no JSON":  {store.Registrations, claimKey, "\x00\x01"},
		"null":                     {store.Registrations, claimKey, "null"},
		"half a claim":             {store.Registrations, claimKey, claim[:len(claim)/2]},
		"two claims":               {store.Registrations, claimKey, claim + claim},
		"a field nobody knows":     {store.Registrations, claimKey, strings.Replace(claim, `"owner"`, `"ovner"`, 1)},
		"a claim of another host":  {store.Registrations, "test|kms2.example.org:1689", claim},
		"a key without host":       {store.Registrations, "test|", claim},
		"a target that is none":    {store.Registrations, claimKey, strings.Replace(claim, `kms1.`, `kms_1.`, 1)},
		"a port that is none":      {store.Registrations, claimKey, strings.Replace(claim, `1689`, `0`, 1)},
		"a priority beyond 65535":  {store.Registrations, claimKey, strings.Replace(claim, `65535`, `65536`, 1)},
		"a time that is none":      {store.Registrations, claimKey, strings.Replace(claim, `"updated":"2`, `"updated":"x`, 1)},
		"no announcement":          {store.Registrations, claimKey, `{"target":"kms1.example.org.","port":1689}`},
		"an address that is none":  {store.Addresses, addressKey, strings.Replace(address, "2001:db8::1", "2001:db8::x", 1)},
		"an address of another":    {store.Addresses, "test|kms2.example.org.|2001:db8::1", address},
		"another address":          {store.Addresses, "test|kms1.example.org.|2001:db8::2", address},
		"an address that is empty": {store.Addresses, addressKey, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/kms.db"
			st, err := store.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Update(func(tx *store.Tx) error { return tx.Put(damage.bucket, damage.key, []byte(damage.value)) }); err != nil {
				t.Fatal(err)
			}
			before := read(t, path)
			_, err = New(settings(4), "test", st)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", damage.key)) || !strings.Contains(err.Error(), path) {
				t.Errorf("Got %v, want an error that names %q and the store", err, damage.key)
			}
			if _, err := New(settings(4), "another", st); err != nil {
				t.Errorf("It troubles a registry that has nothing to do with it: %v", err)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(before, read(t, path)) {
				t.Error("The store was changed")
			}
		})
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAClosedStore(t *testing.T) {
	st, err := store.Open(t.TempDir() + "/kms.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := New(settings(4), "test", st); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Got %v", err)
	}
}
