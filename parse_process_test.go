package kms

import (
	"slices"
	"strings"
	"testing"

	"github.com/coredns/caddy"
)

func TestStatus(t *testing.T) {
	sites, err := parseText("kms {\nhost a.example.org\nstatus 127.0.0.1:8080 KMS.example.org dns1\n}", "example.org.:53")
	if err != nil {
		t.Fatal(err)
	}
	if s := sites[0].Status; s == nil || s.Address != "127.0.0.1:8080" || !slices.Equal(s.Names, []string{"kms.example.org.", "dns1."}) {
		t.Errorf("%+v", s)
	}
	// One per process, across the blocks of a Corefile.
	c := caddy.NewTestController("dns", "kms {\n host a.example.org\n status :8080\n}\nkms example.net {\n host a.example.org\n status :8080 kms\n}")
	c.ServerBlockKeys = []string{"example.org.:53", "example.net.:53"}
	_, err = parse(c)
	if want := "another kms block of this Corefile has :8080: one status per process: say the same in both"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Got %v, want %q", err, want)
	}
}
