package discover

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDomainIn(t *testing.T) {
	const hosts = `127.0.0.1 localhost
127.0.1.1	PC1.corp.example.org pc1 # the usual
::1 ip6-localhost
10.0.0.1 short alias
10.0.0.2 pc2.localdomain pc2
# 10.0.0.3 pc3.corp.example.org pc3
`
	for host, want := range map[string]string{"pc1": "corp.example.org", "PC1": "corp.example.org", "alias": "", "pc2": "",
		"pc3": "", "localhost": "", "nobody": ""} {
		if got := domainIn(strings.NewReader(hosts), host); got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}

func TestThisMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch Corp.example.org. . "+
		"lab.example.org\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := ThisMachine(path)
	if err != nil || !slices.Equal(m.Servers, []string{"192.0.2.53:53", "[2001:db8::53]:53"}) || !slices.Equal(m.Search,
		[]string{"Corp.example.org", "lab.example.org"}) {
		t.Errorf("Got %+v, %v", m, err)
	}
	m.Primary = "primary.example.org"
	kept, dropped := distinct(append(m.Suffixes(), Suffix{Name: "corp.EXAMPLE.org"}))
	var names []string
	for _, s := range kept {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"primary.example.org", "corp.example.org", "lab.example.org"}) || len(dropped) > 0 {
		t.Errorf("Got %v, dropped %v", names, dropped)
	}
	if _, err := ThisMachine(path + ".not"); err == nil {
		t.Error("A file that is not there is no error")
	}
}
