package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// runImport runs "kms import".
func runImport(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = kms(t, "import", args, &out, &errs)
	return status, out.String(), errs.String()
}

// accepts fails the test unless CoreDNS starts with blocks, kms blocks for any zones.
func accepts(t *testing.T, blocks string) {
	t.Helper()
	corefile := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(corefile, []byte(".:0 {\nbind 127.0.0.1\n"+blocks+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-conf", corefile)
	cmd.Env = append(os.Environ(), runMain+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	started := false
	for lines := bufio.NewScanner(stdout); !started && lines.Scan(); {
		started = strings.HasPrefix(lines.Text(), "CoreDNS-") // what it prints when it serves
	}
	cancel()
	cmd.Wait() // it was killed
	if !started {
		t.Errorf("CoreDNS does not take this: %s\n%s", errs.String(), blocks)
	}
}

// lines is those lines of a Corefile that begin with one of words, without blanks around them.
func lines(text string, words ...string) []string {
	var all []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		for _, w := range words {
			if strings.HasPrefix(line, w) {
				all = append(all, line)
			}
		}
	}
	return all
}

const oldZone = "testdata/import/db.corp.example.org"

// TestImportFile: each kind of record in the zone file, and the file itself with its origins, includes, aliases and TTL units.
func TestImportFile(t *testing.T) {
	status, stdout, stderr := runImport(t, oldZone, "-no-probe")
	if status != 1 || stderr != "" {
		t.Errorf("Status %d, %s", status, stderr)
	}
	want, err := os.ReadFile(oldZone + ".corefile")
	if err != nil {
		t.Fatal(err)
	}
	if stdout != string(want) {
		t.Errorf("Got\n%s\nwant\n%s", stdout, want)
	}
	accepts(t, stdout)
}

func TestImportOptions(t *testing.T) {
	status, stdout, _ := runImport(t, "-no-probe", "-addresses", "-licensed", "testdata/import/licensed", oldZone)
	want := []string{
		"host kms1.corp.example.org priority 0 weight 60 address 192.0.2.1 address 2001:db8::1",
		"# host kms1.corp.example.org priority 0 weight 60  # duplicate: the same host and port stands above with priority 0 weight 60",
		"host kms2.corp.example.org:1689 priority 0 weight 40 address 192.0.2.2",
		"# host kms3.corp.example.org priority 10 weight 0  # not a licensed host of the list",
	}
	if got := lines(stdout, "host", "# host"); status != 1 || strings.Join(got[:4], "\n") != strings.Join(want, "\n") {
		t.Errorf("Status %d, got\n%s", status, strings.Join(got, "\n"))
	}
	if !strings.Contains(stdout, "# no host is left for this block:\n# kms branch.corp.example.org {\n#     # host kms.head") {
		t.Errorf("A block without a licensed host is there:\n%s", stdout)
	}
	accepts(t, stdout)
	// An alias may be licensed by either name, as an argument too.
	_, stdout, _ = runImport(t, "-no-probe", "-licensed", "KMS.corp.example.org., kms9.example.net", oldZone)
	if got := lines(stdout, "host"); len(got) != 2 || !strings.HasPrefix(got[0], "host kms4.corp.example.org priority 30 weight 0  # the record names kms.corp") {
		t.Errorf("Got\n%s", stdout)
	}
}

// TestImportProbes: what is dead is commented out, with the words of the probe, and a dead host's neighbours are not.
func TestImportProbes(t *testing.T) {
	up, down := rehearsalHost(t), nobody(t)
	_, upPort, _ := net.SplitHostPort(up)
	_, downPort, _ := net.SplitHostPort(down)
	zone := writeFile(t, "$TTL 1m\n@ SOA a b 1 1 1 1 1\nkms1 A 127.0.0.1\nkms2 A 127.0.0.1\nrogue A 127.0.0.1\n"+
		"_vlmcs._tcp SRV 0 0 "+upPort+" kms1\n_vlmcs._tcp SRV 0 0 "+downPort+" kms2\n"+
		"_vlmcs._tcp SRV 1 0 "+upPort+" rogue\n_vlmcs._tcp SRV 1 0 "+downPort+" rogue\n")
	status, stdout, stderr := runImport(t, "-zone", "corp.example.org", "-licensed", "kms1.corp.example.org,kms2.corp.example.org", zone)
	refused := "stale: connect: connection to " + down + " refused: nothing listens there, or a firewall rejects it"
	want := []string{
		"host kms1.corp.example.org:" + upPort + " priority 0 weight 0",
		"# host kms2.corp.example.org:" + downPort + " priority 0 weight 0  # " + refused,
		"# host rogue.corp.example.org:" + upPort + " priority 1 weight 0  # not a licensed host of the list; yet it answers as a KMS host",
		"# host rogue.corp.example.org:" + downPort + " priority 1 weight 0  # not a licensed host of the list; " + refused,
		"ttl 1m0s",
	}
	got := lines(stdout, "host", "# host", "ttl")
	// Equal priorities and weights stand in the order of names, then of ports, which are the system's choice.
	if upPort > downPort {
		got[2], got[3] = got[3], got[2]
	}
	if status != 1 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("Status %d %s, got\n%s\nwant\n%s", status, stderr, stdout, strings.Join(want, "\n"))
	}
	accepts(t, stdout)

	all := writeFile(t, "kms2 60 IN A 127.0.0.1\n_vlmcs._tcp 60 IN SRV 0 0 "+downPort+" kms2\n")
	if status, stdout, _ := runImport(t, "-zone", "corp.example.org", all); status != 2 || len(lines(stdout, "#     # host kms2")) != 1 {
		t.Errorf("All dead: status %d\n%s", status, stdout)
	}
	fine := writeFile(t, "kms1 60 IN A 127.0.0.1\n_vlmcs._tcp 60 IN SRV 0 0 "+upPort+" kms1\n")
	if status, stdout, _ := runImport(t, "-zone", "corp.example.org", fine); status != 0 || !strings.HasPrefix(stdout, "# KMS OK - 1 of 1 records") {
		t.Errorf("All well: status %d\n%s", status, stdout)
	}
}

func TestImportJSON(t *testing.T) {
	status, stdout, _ := runImport(t, "-no-probe", "-json", oldZone)
	var got struct {
		Version          int
		Status, Corefile string
		Notes            []string
		Blocks           []struct {
			Zones   []string
			TTL     uint32
			Records []struct {
				Target, Host           string
				Port, Priority, Weight uint16
				Addresses, Reasons     []string
				Taken                  bool
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	_, text, _ := runImport(t, "-no-probe", oldZone)
	if status != 1 || got.Version != 1 || got.Status != "WARNING" || got.Corefile != text || len(got.Notes) != 2 || len(got.Blocks) != 2 {
		t.Errorf("Status %d, %s", status, stdout)
	}
	b := got.Blocks[0]
	first, alias := b.Records[0], b.Records[5]
	if fmt.Sprint(b.Zones) != "[corp.example.org. lab.corp.example.org.]" || b.TTL != 240 || !first.Taken || len(first.Addresses) != 2 ||
		first.Weight != 60 || b.Records[1].Taken || len(b.Records[1].Reasons) != 1 || alias.Target != "kms.corp.example.org." || alias.Host != "kms4.corp.example.org." {
		t.Errorf("Got %+v", b)
	}
}

// TestImportDelegated: a zone that is the service name itself gets its name servers.
func TestImportDelegated(t *testing.T) {
	zone := writeFile(t, "$TTL 30\n@ SOA ns1.example.org. b 1 1 1 1 1\n@ NS ns2.example.org.\n@ NS ns1.example.org.\n@ SRV 0 0 1688 kms1.example.org.\n")
	status, stdout, stderr := runImport(t, "-no-probe", "-origin", "_vlmcs._tcp.Corp.example.org", zone)
	if status != 0 || !strings.Contains(stdout, "kms _vlmcs._tcp.corp.example.org {\n") || !strings.Contains(stdout, "\n    ns ns1.example.org ns2.example.org\n") {
		t.Errorf("Status %d %s\n%s", status, stderr, stdout)
	}
	accepts(t, stdout)
	inside := writeFile(t, "$TTL 30\n@ SOA ns b 1 1 1 1 1\n@ SRV 0 0 1688 kms1.example.org.\n")
	status, stdout, _ = runImport(t, "-no-probe", "-zone", "_vlmcs._tcp.corp.example.org", inside)
	if status != 1 || !strings.Contains(stdout, "kms corp.example.org {\n    # _vlmcs._tcp.corp.example.org. is a zone of its own, but its name servers cannot be: ns ns._vlmcs") {
		t.Errorf("Status %d\n%s", status, stdout)
	}
	accepts(t, stdout)
}

// TestImportMany: a block takes 256 hosts, and has the lowest of their TTLs.
func TestImportMany(t *testing.T) {
	zone := writeFile(t, "$GENERATE 1-257 _vlmcs._tcp 60 SRV $ 0 1688 kms$\n$GENERATE 1-2 _vlmcs._tcp 20 SRV 9 0 1689 kms$\n")
	status, stdout, stderr := runImport(t, "-zone", "a.b", "-no-probe", zone)
	hosts, dropped := lines(stdout, "host"), lines(stdout, "# host")
	if status != 1 || len(hosts) != 256 || len(dropped) != 3 || !strings.HasSuffix(dropped[0], "more than 256 hosts in one block") || len(lines(stdout, "ttl 20s")) != 1 {
		t.Errorf("Status %d, %d hosts, not %q\n%s", status, len(hosts), dropped, stderr)
	}
	accepts(t, stdout)
}

// TestImportGenerate: what stands in $GENERATE lines is read as named reads it, with the TTL in force.
func TestImportGenerate(t *testing.T) {
	zone := writeFile(t, "$TTL 60\n$GENERATE 1-2 _vlmcs._tcp SRV \"0 0 26881 kms$\"\n"+
		"$GENERATE 3-9/6 _vlmcs._tcp SRV 0 0 1688 kms${1,3,x}.\\$.$$ ; not $\n"+
		"$generate 5-5 _vlmcs._tcp IN SRV \"$ 0 168${3} kms${0,3,N}\"\r\n")
	z := new(zoneContents)
	if err := z.readFile(zone, "a.b.", "", zoneMost); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range z.services["_vlmcs._tcp.a.b."] {
		got = append(got, fmt.Sprintf("%d %d %d %s", r.Hdr.Ttl, r.Priority, r.Port, r.Target))
	}
	want := []string{"60 0 26881 kms1.a.b.", "60 0 26881 kms2.a.b.", "60 0 1688 kms004.$.$.a.b.", "60 0 1688 kms00a.$.$.a.b.",
		"60 5 1688 kms5.0.a.b."}
	if !slices.Equal(got, want) {
		t.Errorf("Got %q, want %q", got, want)
	}
}

// TestImportGenerateErrors: the line of the file is said, and what would be right.
func TestImportGenerateErrors(t *testing.T) {
	for text, want := range map[string]string{
		"1-2 _vlmcs._tcp SRV \"0 x 1688 kms$\"":    `dns: bad SRV Weight: "x" at line: 3, the $GENERATE there, for 1`,
		"1-9/4 _vlmcs._tcp SRV \"$ 0 6553$ kms$\"": `dns: bad SRV Port: "65539" at line: 3, the $GENERATE there, for 9`,
		"":                          "$GENERATE at line: 3: want RANGE OWNER",
		"1-2 a A":                   "$GENERATE at line: 3: want RANGE OWNER",
		"1-2 a A ; 192.0.2.$":       "$GENERATE at line: 3: want RANGE OWNER",
		"2-1 a A 192.0.2.$":         `range "2-1": want FIRST-LAST`,
		"1-2/0 a A 192.0.2.$":       "want FIRST-LAST",
		"1 a A 192.0.2.$":           "want FIRST-LAST",
		"0-65536 a A 192.0.2.$":     "at most 65536 steps",
		"1-2 \"a$ b\" A 192.0.2.1":  "the owner has none",
		"1-2 a TXT \"$":             "a quote without an end",
		"1-2 a A ( 192.0.2.1":       "write it on one line",
		"1-2 a${0,1,q} A 192.0.2.1": "${0,1,q: want ${OFFSET}",
		"1-2 a${0,256} A 192.0.2.1": "a width of at most 255",
		"1-2 a${-2} A 192.0.2.1":    "no number below 0",
		"1-2 a${0 A 192.0.2.1":      "want ${OFFSET}",
		"1-2 a A " + strings.Repeat("x", maxGenerateLine): "more than 4096 octets",
	} {
		err := new(zoneContents).readFile(writeFile(t, "$TTL 60\n\n$GENERATE "+text+"\n"), "a.b.", "", zoneMost)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "$GENERATE/") {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	included := writeFile(t, "; one\n$GENERATE 1-1 a TREE oak\n")
	err := new(zoneContents).readFile(writeFile(t, "$INCLUDE "+included+"\n"), "a.b.", "/", zoneMost)
	if err == nil || !strings.HasPrefix(err.Error(), included+": dns: ") || !strings.Contains(err.Error(), "at line: 2, the $GENERATE") {
		t.Errorf("In an included file: %v", err)
	}
}

// TestInComment: nothing that came from elsewhere ends a comment.
func TestInComment(t *testing.T) {
	if got := inComment("a\nkms {\r\u2028b\x1b[0m é"); got != "a?kms {??b?[0m é" {
		t.Errorf("Got %q", got)
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestImportErrors: what cannot be done is said, with status 3; a zone without records is critical.
func TestImportErrors(t *testing.T) {
	many := strings.Repeat("_vlmcs._tcp 60 IN SRV 0 0 1688 kms1\n", maxServices+1)
	for name, tt := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no file":            {nil, 3, "one zone file"},
		"two files":          {[]string{"a", "b"}, 3, "one zone file"},
		"missing file":       {[]string{"/nonexistent"}, 3, "no such file"},
		"relative names":     {[]string{writeFile(t, "a A 192.0.2.1\n")}, 3, "-zone NAME says what names are relative to"},
		"not a zone file":    {[]string{"-zone", "a.b", writeFile(t, "@ IN TREE oak\n")}, 3, "at line: 1"},
		"raw format":         {[]string{writeFile(t, "\x00\x00\x00\x02\x00\x00\x00\x01")}, 3, "named-compilezone"},
		"too many":           {[]string{"-zone", "a.b", "-no-probe", writeFile(t, many)}, 3, "more than 1024"},
		"missing include":    {[]string{"-zone", "a.b", writeFile(t, "$INCLUDE \"nowhere/x\"\n")}, 3, "nowhere/x"},
		"error in include":   {[]string{"-zone", "a.b", "-directory", "/", writeFile(t, "$INCLUDE "+writeFile(t, "\n@ IN TREE oak\n")+"\n")}, 3, "/file: dns: "},
		"include outside":    {[]string{"-zone", "a.b", writeFile(t, "$INCLUDE /etc/passwd\n")}, 3, "$INCLUDE of /etc/passwd, which is outside of /"},
		"include above":      {[]string{"-zone", "a.b", writeFile(t, "$INCLUDE \"../../file\"\n")}, 3, "-directory DIR if it belongs to the zone"},
		"include of zeros":   {[]string{"-zone", "a.b", "-directory", "/", writeFile(t, "$INCLUDE /dev/zero\n")}, 3, "no regular file"},
		"includes multiply":  {[]string{"-zone", "a.b", "-directory", "/", multiplying(t)}, 3, "too many files"},
		"records multiply":   {[]string{"-zone", "a.b", writeFile(t, strings.Repeat("$GENERATE 0-65535 a$ A 192.0.2.1\n", 1001))}, 3, "too many $GENERATE lines"},
		"include of itself":  {[]string{"-zone", "a.b", writeFile(t, "$INCLUDE file\n")}, 3, "too deeply nested"},
		"no records":         {[]string{"-zone", "a.b", writeFile(t, "@ 60 IN A 192.0.2.1\n")}, 2, "# no _vlmcs._tcp record in zone file"},
		"zone":               {[]string{"-zone", "a..b", "x"}, 3, "a domain name, as in corp.example.org"},
		"timeout":            {[]string{"-timeout", "0s", "x"}, 3, "from above 0"},
		"axfr, no zone":      {[]string{"-axfr", "127.0.0.1"}, 3, "-axfr takes a zone"},
		"axfr and a file":    {[]string{"-axfr", "127.0.0.1", "-zone", "a.b", "x"}, 3, "-axfr takes a zone and no file"},
		"axfr of a path":     {[]string{"-axfr", "127.0.0.1:dns", "-zone", "a.b"}, 3, "a DNS server, as in 192.0.2.53"},
		"axfr of nobody":     {[]string{"-axfr", nobody(t), "-zone", "a.b"}, 3, "refused"},
		"key for a file":     {[]string{"-key", "a:hmac-sha256:AAAA", "x"}, 3, "a TSIG key is for -axfr alone"},
		"key and keyfile":    {[]string{"-key", "a:hmac-sha256:AAAA", "-keyfile", "x", "-axfr", "127.0.0.1", "-zone", "a"}, 3, "leave one"},
		"check, one server":  {[]string{"-check", "127.0.0.1", "-zone", "a.b"}, 3, "-check takes two servers and a zone"},
		"check, no zone":     {[]string{"-check", "127.0.0.1", "127.0.0.1"}, 3, "-check takes two servers and a zone"},
		"check of nobody":    {[]string{"-check", "-zone", "a.b", nobody(t), nobody(t)}, 3, "refused"},
		"list, no such file": {[]string{"-licensed", "/nonexistent", "x"}, 3, "no such file"},
		"list, bad name":     {[]string{"-licensed", "kms_1.example.org", "x"}, 3, "neither a file nor names"},
		"list, empty":        {[]string{"-licensed", "/dev/null", "x"}, 3, "no name in it"},
		"unknown option":     {[]string{"x", "-frobnicate"}, 3, "frobnicate"},
		"help":               {[]string{"-h"}, 0, "Usage: coredns kms import"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := runImport(t, tt.args...)
			if status != tt.status || !strings.Contains(stdout+stderr, tt.want) || strings.Contains(stderr, "AAAA") {
				t.Errorf("Status %d, stdout %q, stderr %q", status, stdout, stderr)
			}
		})
	}
}

// multiplying is a zone file that would have a million others read.
func multiplying(t *testing.T) string {
	t.Helper()
	file := writeFile(t, "\n")
	for range 5 {
		file = writeFile(t, strings.Repeat("$INCLUDE "+file+"\n", 16))
	}
	return file
}

// TestIncludeDirectory: named reads relative paths from its working directory, whichever file has them.
func TestIncludeDirectory(t *testing.T) {
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "common"), []byte("_vlmcs._tcp 60 IN SRV 0 0 1688 kms1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, "$include common\n")
	if status, stdout, stderr := runImport(t, "-zone", "a.b", "-no-probe", "-directory", directory, file); status != 0 {
		t.Errorf("Status %d\n%s%s", status, stdout, stderr)
	}
	if status, _, _ := runImport(t, "-zone", "a.b", "-no-probe", file); status != 3 {
		t.Errorf("Status %d without the directory", status)
	}
}

func TestServerAddress(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.53": "192.0.2.53:53", "192.0.2.53:1053": "192.0.2.53:1053", "2001:db8::53": "[2001:db8::53]:53",
		"[2001:db8::53]": "[2001:db8::53]:53", "[2001:db8::53]:1053": "[2001:db8::53]:1053", "ns1.example.org": "ns1.example.org:53",
		"ns1:53": "ns1:53", "": "", "a..b": "", "a:b:c": "", "192.0.2.53:0": "", ":53": "", "a:70000": "",
	} {
		if got, err := serverAddress(in); got != want || (err != nil) != (want == "") {
			t.Errorf("serverAddress(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}
