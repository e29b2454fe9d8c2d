package store

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var writeTestdata = flag.Bool("write-testdata", false, "write testdata/v1.db anew, until a release has written that format")

// v1 is what testdata/v1.db has: a record in every bucket that format 1 began with, one of each shape.
var v1 = map[Bucket]map[string]string{
	Registrations: {"kms1.example.org.:1688": `{"Target":"kms1.example.org.","Port":1688}`},
	Addresses:     {"kms1.example.org. 192.0.2.1": "{}"},
	Drains:        {"kms2.example.org.:1688": `{"By":"alice","Why":"disk"}`},
	Health:        {"kms1.example.org.:1688": "\x00\xff"},
	Ledger:        {"client": string(filler(11))}, // over several pages
	Serials:       {"example.org.": ""},
}

// What the first release writes every later one reads, and can go on with.
func TestFormat1(t *testing.T) {
	const committed = "testdata/v1.db"
	if *writeTestdata {
		writeV1(t, committed)
	}
	octets, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kms.db")
	if err := os.WriteFile(path, octets, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	for b, records := range v1 {
		for key, want := range records {
			if got := get(t, s, b, key); got != want {
				t.Errorf("%s has %q under %q", b, got, key)
			}
		}
	}
	if all, err := content(s); err != nil || len(all) != len(v1) {
		t.Errorf("%d records, %v", len(all), err)
	}
	put(t, s, Drains, "more", "1")
}

func writeV1(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	err := s.Update(func(tx *Tx) (all error) {
		for b, records := range v1 {
			for key, value := range records {
				all = errors.Join(all, tx.Put(b, key, []byte(value)))
			}
		}
		return all
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}
