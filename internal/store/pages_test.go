package store

import (
	"bytes"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkOctets is check of a file in memory.
func checkOctets(file []byte) (uint64, error) {
	return check(bytes.NewReader(file), int64(len(file)))
}

// small is a store with a bucket that has a page of its own, health, and one that has none, drains.
func small(t testing.TB) ([]byte, *pages) {
	t.Helper()
	s := fresh(t)
	put(t, s, Health, "h", strings.Repeat("x", 2000))
	put(t, s, Drains, "d", "drained")
	file, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	p, err := openPages(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return file, p
}

// set writes a number of so many octets.
func set(at []byte, width int, value uint64) {
	switch width {
	case 1:
		at[0] = byte(value)
	case 2:
		native.PutUint16(at, uint16(value))
	case 4:
		native.PutUint32(at, uint32(value))
	case 8:
		native.PutUint64(at, value)
	}
}

// Single numbers with which bbolt would panic, fault, recurse for ever or lose something.
func TestCheckFinds(t *testing.T) {
	octets, p := small(t)
	root, list := int(p.root)*int(p.size), int(p.freelist)*int(p.size)
	at := func(text string) int { return root + bytes.Index(octets[root:root+int(p.size)], []byte(text)) }
	for _, c := range []struct {
		what  string
		at    int
		width int
		value uint64
		want  string
	}{
		{"number of a page", root, 8, 77, "says it is 77"},
		{"kind", root + 8, 2, kindFree, "has no place in a tree"},
		{"leaf as branch", root + 8, 2, kindBranch, "page"},
		{"no elements, thus no sign of ours", root + 10, 2, 0, ErrForeign.Error()},
		{"more elements than fit", root + 10, 2, 0xFFFF, "element 3 has flags"},
		{"more pages than there are", root + 12, 4, 0xFFFFFFFF, "they end at"},
		{"the page after it", root + 12, 4, 1, "twice"},
		{"flags", root + 16, 4, 2, "has flags 2"},
		{"bucket as record", root + 16, 4, 0, "outside of any bucket"},
		{"position", root + 20, 4, 0xFFFFFFF0, "behind the end"},
		{"no key", root + 24, 4, 0, "is empty"},
		{"length of a key", root + 24, 4, 0xFFFFFFFF, "behind the end"},
		{"length of a value", root + 28, 4, 0xFFFFFFFF, "behind the end"},
		{"short bucket", root + 28, 4, 3, "too short"},
		{"order of keys", at("health"), 1, 'a', "out of order"},
		{"name of a bucket", at("drains"), 1, 'c', "add up to"},
		{"record", at("drained"), 1, 'D', "add up to"},
		{"a bucket that is its own root", at("health") + 6, 8, p.root, "twice"},
		{"a bucket on a page that is not there", at("health") + 6, 8, 1 << 62, "they end at"},
		{"a bucket on a meta page", at("health") + 6, 8, 1, "they end at"},
		{"a bucket without leaf", at("drains") + 6 + 24, 2, kindBranch, "has no leaf in it"},
		{"application", at("coredns-kms"), 1, 'C', ErrForeign.Error()},
		{"format", at("format") + 6, 1, 'x', "no number"},
		{"sum", at("sum") + 3, 1, 'x', "no number"},
		{"no free list", list + 8, 2, kindLeaf, "ought to be the free list"},
		{"more free pages than fit", list + 10, 2, 511, "has room for"},
		{"more free pages than can be counted in the page", list + 10, 2, 0xFFFF, "listed as free"},
		{"fewer free pages", list + 10, 2, 1, "neither used nor free"},
		{"a meta page free", list + 16, 8, 1, "listed as free"},
		{"a free page that is not there", list + 16, 8, 1 << 40, "listed as free"},
		{"a used page free", list + 16, 8, p.root, "twice"},
	} {
		file := bytes.Clone(octets)
		set(file[c.at:], c.width, c.value)
		if _, err := checkOctets(file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// A record that is there, but not where bbolt would look for it, is damage that no sum of records finds.
func TestCheckFindsMisplaced(t *testing.T) {
	x := newSample(t)
	p, err := openPages(bytes.NewReader(x.octets), int64(len(x.octets)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.records(); err != nil {
		t.Fatal(err)
	}
	var keys []byte // of the branch page, one behind the other
	for id, use := range p.use {
		if page := x.octets[id*int(p.size):]; use == reached && native.Uint16(page[8:]) == kindBranch {
			keys = page[headerLen+elementLen*int(native.Uint16(page[10:])):]
		}
	}
	const n = len("client-000")
	second := keys[n:][:n]
	first, original := string(keys[:n]), string(second)
	if !strings.HasPrefix(original, "client-") || original <= first {
		t.Fatalf("The branch has the keys %q, %q", first, original)
	}
	lower, higher := []byte(original), []byte(original)
	lower[n-2]-- // so that the last records below the first key belong below this one
	higher[n-1]++
	for _, key := range []string{first, string(lower), string(higher), "client-999"} {
		copy(second, key)
		if _, err := checkOctets(x.octets); err == nil || !strings.Contains(err.Error(), "out of order") {
			t.Errorf("%s instead of %s: %v", key, original, err)
		}
	}
	copy(second, original)
	if _, err := checkOctets(x.octets); err != nil {
		t.Error(err)
	}
}

// Whatever is in a file, looking at it ends without a panic, and what is accepted bbolt can read. The input is what to change
// in a small store, four octets each: offset, width, and a number that is small, or near the largest there is.
func FuzzCheck(f *testing.F) {
	octets, p := small(f)
	octets = octets[:len(p.use)*int(p.size)]
	f.Add([]byte{0x40, 0, 3, 99, 0x40, 10, 1, 0xFF})
	f.Fuzz(func(t *testing.T, edits []byte) {
		file := bytes.Clone(octets)
		for ; len(edits) >= 4; edits = edits[4:] {
			at := (int(edits[0])<<8 | int(edits[1])) % (len(file) - 7)
			set(file[at:], 1<<(edits[2]%4), uint64(int8(edits[3])))
		}
		for at := int64(0); at <= p.size; at += p.size { // or nothing would get behind these, which have sums of their own
			state := file[at+headerLen:][:metaLen]
			sum := fnv.New64a()
			_, _ = sum.Write(state[:metaLen-8])
			native.PutUint64(state[metaLen-8:], sum.Sum64())
		}
		if _, err := checkOctets(file); err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "kms.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := content(s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
