//go:build interop

package test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The machine on which documents are played has these addresses, as docs/operations.md says.
const (
	hostsAt   = "10.1.0.1%d" // of kms1 to kms3
	bindAt    = "10.1.0.53"
	kmsAt     = "10.1.0.54"
	unboundAt = "10.1.0.55"
	dnsmasqAt = "10.1.0.56"
	knotAt    = "10.1.0.57"
	forwardAt = "10.1.0.58"
)

const docService = "_vlmcs._tcp.corp.example.org"

// TestDocuments runs what README.md and docs show, in the order of the text: Corefiles, zones and other servers'
// configurations are started and asked, commands are run, and what they print and log is what the text says. All of that
// happens on a machine of its own, so that the ports and addresses of the text are free, with rehearsal hosts as KMS hosts.
// KMS_TEST_DOCUMENT=README.md in the environment plays that one alone.
func TestDocuments(t *testing.T) {
	if os.Getenv(alone) == "" {
		bin := t.TempDir()
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(bin, "coredns"), "../build").CombinedOutput(); err != nil {
			t.Fatalf("Building: %v\n%s", err, out)
		}
		t.Setenv("PATH", bin+":"+os.Getenv("PATH")+":/usr/sbin")
		runOnMachine(t, 10*time.Minute, bindAt, `
			for i in 21 11 12 13 53 54 55 56 57 58; do ip address add 10.1.0.$i/24 dev lo; done
			mount -t tmpfs tmpfs /run
			mount -t tmpfs tmpfs /var/lib
			mkdir -p /run/coredns-kms /run/named /var/lib/coredns-kms
			cp /etc/bind/rndc.key /run # BIND gives up the right to read other users' files
			mount --bind /run/rndc.key /etc/bind/rndc.key`)
		return
	}
	all := documents(t)
	for _, document := range slices.Sorted(maps.Keys(all)) {
		if only := os.Getenv("KMS_TEST_DOCUMENT"); only != "" && only != document {
			continue
		}
		b := blocks(t, document, all[document])
		if slices.ContainsFunc(b, func(b block) bool { return b.kind != "json" }) {
			t.Run(document, func(t *testing.T) { play(t, b) })
		}
	}
}

// play plays a document.
func play(t *testing.T, all []block) {
	s := &scene{document: t, dir: t.TempDir(), zone: testZone, log: new(output)}
	for _, b := range all {
		if b.file != "" && b.kind == "zone" && strings.Contains(b.text, "SOA") {
			s.zone = b.text
		}
	}
	for _, file := range []string{"Corefile.example", "README.md"} {
		text, err := os.ReadFile("../" + file)
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, file, string(text))
	}
	for i := range s.hosts {
		s.hosts[i] = s.rehearse(t, i)
	}
	s.write(t, "db.corp.example.org", s.zone)
	s.write(t, "example.org.zone", strings.ReplaceAll(testZone, "corp.example.org", "example.org"))
	s.startBIND(t, "")
	for _, b := range all {
		ok := t.Run(fmt.Sprintf("line %d %s", b.line, b.kind), func(t *testing.T) { s.block(t, b) })
		if !ok {
			t.Fatalf("%s:%d is not as it says", b.document, b.line)
		}
	}
	s.compareLogs(t, all)
}

// testZone is what BIND has unless the document shows a zone.
const testZone = `$ORIGIN corp.example.org.
$TTL 60
@     IN SOA ns1 hostmaster 1 2h 30m 2w 1m
      IN NS  ns1
ns1   IN A   10.1.0.53
kms1  IN A   10.1.0.11
kms2  IN A   10.1.0.12
kms3  IN A   10.1.0.13
`

// block does what kinds says.
func (s *scene) block(t *testing.T, b block) {
	switch b.kind {
	case "corefile":
		s.corefile(t, b.text)
	case "coredns.conf":
		file := s.write(t, "forwarding", addBind(b.text, forwardAt))
		s.start(t, "coredns", "-conf", file)
		for _, name := range servicesOf(b.text) {
			s.agree(t, forwardAt, name)
		}
	case "zone":
		s.zoneBlock(t, b)
	case "named.conf":
		s.check(t, "named-checkconf", s.write(t, "snippet", b.text))
		s.startBIND(t, b.text)
		s.agree(t, bindAt, docService)
		s.startBIND(t, "")
	case "unbound.conf":
		file := s.write(t, "unbound.conf", "server:\n interface: "+unboundAt+"\n access-control: 0.0.0.0/0 allow\n chroot: \"\"\n username: \"\"\n"+
			" pidfile: \"\"\n use-syslog: no\n directory: \""+s.dir+"\"\n"+b.text)
		s.check(t, "unbound-checkconf", file)
		s.start(t, "unbound", "-d", "-c", file)
		s.agree(t, unboundAt, docService)
	case "dnsmasq.conf":
		file := s.write(t, "dnsmasq.conf", b.text)
		s.check(t, "dnsmasq", "--test", "--conf-file="+file)
		s.start(t, "dnsmasq", "--keep-in-foreground", "--conf-file="+file, "--user=root", "--listen-address="+dnsmasqAt,
			"--bind-interfaces", "--no-resolv", "--no-hosts", "--pid-file=")
		s.agree(t, dnsmasqAt, docService)
	case "knot.conf":
		file := s.write(t, "knot.conf", "server:\n    listen: "+knotAt+"@53\n    rundir: "+s.dir+"\ndatabase:\n    storage: "+s.dir+"\n"+
			"template:\n  - id: default\n    storage: "+s.dir+"\n"+b.text)
		s.check(t, "knotc", "-c", file, "conf-check")
		s.start(t, "knotd", "-c", file)
		s.agree(t, knotAt, docService)
	case "sh":
		for line := range strings.Lines(b.text) {
			s.line(t, strings.TrimSpace(line))
		}
	case "txt":
		s.transcript(t, b.text)
	}
}

// serverBlock is the first line of a server block.
var serverBlock = regexp.MustCompile(`(?m)^([a-z0-9_][a-z0-9_. -]*) \{$`)

// addBind has each server block of a Corefile listen at address alone, unless it says where itself.
func addBind(text, address string) string {
	return serverBlock.ReplaceAllString(text, "$0\n    bind "+address)
}

// servicesOf is the names of the service in each zone of a Corefile.
func servicesOf(text string) []string {
	var names []string
	for _, m := range serverBlock.FindAllStringSubmatch(text, -1) {
		for zone := range strings.FieldsSeq(m[1]) {
			if !strings.HasPrefix(zone, "_vlmcs._tcp.") {
				zone = "_vlmcs._tcp." + zone
			}
			names = append(names, zone)
		}
	}
	return names
}

// corefile starts a Corefile in place of the one before, and asks it for each of its zones. "kms lint" has to find it good.
func (s *scene) corefile(t *testing.T, text string) {
	if s.kms != nil {
		s.kms.end()
	}
	s.kms = s.start(s.document, "coredns", "-conf", filepath.Base(s.write(t, "Corefile", addBind(text, kmsAt))))
	if out, err := s.shell(t, "coredns kms lint -no-probe Corefile"); err != nil {
		t.Errorf("kms lint: %v\n%s", err, out)
	}
	names := servicesOf(text)
	if len(names) == 0 {
		t.Fatalf("No server block in\n%s", text)
	}
	for _, name := range names {
		await(t, wait, name+" at "+kmsAt, func() bool { return len(s.answer(kmsAt, name)) > 0 })
	}
}

// zoneBlock checks a zone, and if it is but a part of one has BIND serve it in place of what the zone had of the service.
func (s *scene) zoneBlock(t *testing.T, b block) {
	zone, _, _ := strings.Cut(b.file, " ")
	if _, name, ok := strings.Cut(b.file, " "); ok {
		s.check(t, "named-checkzone", zone, s.write(t, name, b.text))
		return
	}
	var kept []string
	for line := range strings.Lines(s.zone) {
		if !strings.Contains(line, "SRV") && !strings.HasPrefix(line, "kmsdns ") {
			kept = append(kept, line)
		}
	}
	file := s.write(t, "db.corp.example.org", strings.Join(kept, "")+b.text)
	s.check(t, "named-checkzone", zone, file)
	s.startBIND(t, "")
	s.agree(t, bindAt, docService)
	s.write(t, "db.corp.example.org", s.zone)
	s.startBIND(t, "")
}

// startBIND starts BIND, anew if it runs, with db.corp.example.org and more lines of configuration.
func (s *scene) startBIND(t *testing.T, more string) {
	t.Helper()
	if s.bind != nil {
		s.bind.end()
	}
	file := s.write(t, "named.conf", `options {
		directory "`+s.dir+`"; listen-on { `+bindAt+`; }; listen-on-v6 { none; }; pid-file none;
		recursion yes; allow-recursion { any; }; allow-transfer { any; }; dnssec-validation no; max-cache-size 8m;
	};
	zone "corp.example.org" { type primary; file "db.corp.example.org"; };
	`+more)
	s.bind = s.start(s.document, "named", "-g", "-c", file)
	await(t, wait, "BIND", func() bool { return dig(bindAt, "corp.example.org", "SOA") != "" })
}

// line runs a line of a shell. One that starts a server goes on.
func (s *scene) line(t *testing.T, line string) {
	line = ours(line)
	if strings.Contains(line, " -conf ") {
		words := strings.Fields(strings.Split(line, "#")[0])
		s.kms = s.start(s.document, words[0], words[1:]...)
		await(t, wait, "the server", func() bool { return dig("127.0.0.1", docService, "SRV", "-p", "1053") != "" })
		for _, m := range regexp.MustCompile(`<(http://127[^>]*)>`).FindAllStringSubmatch(documents(t)["README.md"], -1) {
			fetch(t, m[1])
		}
		return
	}
	out, err := s.shell(t, line)
	if err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
}

// ours has a command use the binary that was built for the test.
func ours(command string) string { return strings.ReplaceAll(command, "go run ./build", "coredns") }

// looking is how commands begin that change nothing: what they show may take its time, as the text around them says.
var looking = regexp.MustCompile(`^(dig|curl|coredns kms (hosts|probe|status|discover|clients|why|import|explain|lint)) `)

// transcript runs each command of a transcript and compares what it prints.
func (s *scene) transcript(t *testing.T, text string) {
	if !strings.HasPrefix(text, "$ ") {
		return
	}
	for _, step := range strings.Split("\n"+text, "\n$ ")[1:] {
		command, want, _ := strings.Cut(step, "\n")
		command = ours(command)
		if strings.Contains(command, " -listen ") {
			p := s.start(t, "sh", "-c", "exec "+command)
			await(t, wait, command, func() bool { return same(command, want, p.out.String()) == "" })
			continue
		}
		out, _ := s.shell(t, command)
		difference := same(command, want, out)
		if looking.MatchString(command) {
			for ticks, end := time.NewTicker(100*time.Millisecond), time.Now().Add(40*time.Second); difference != "" && time.Now().Before(end); <-ticks.C {
				out, _ = s.shell(t, command)
				difference = same(command, want, out)
			}
		}
		if difference != "" {
			t.Fatalf("$ %s\n%s", command, difference)
		}
	}
}

// varying is what differs from run to run, and what stands for it.
var varying = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(:\d\d)?Z?`), "TIME"},
	{regexp.MustCompile(`(\d+(\.\d+)?(h|ms|m|s|µs|ns))+\b`), "DURATION"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (ms|s|min|h)\b`), "DURATION"},
	{regexp.MustCompile(`, (43199|43200|2591\d\d), `), ", MINUTES, "},
	{regexp.MustCompile(`\s\d+\s+IN\s`), " TTL IN "},
	{regexp.MustCompile(`\d+ kB`), "MEMORY"},
	{regexp.MustCompile(`: \d+ of (\d{4,}) clients`), ": MOST of $1 clients"},
	{regexp.MustCompile(`\s+`), " "},
}

// plain is a line without what varies.
func plain(line string) string {
	for _, v := range varying {
		line = v.what.ReplaceAllString(line, v.by)
	}
	return strings.TrimSpace(line)
}

// plainLines is the lines of text that are not empty, without what varies; those of dig in the order of the alphabet, as its
// records come in any.
func plainLines(command, text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = plain(line); line != "" {
			all = append(all, line)
		}
	}
	if strings.HasPrefix(command, "dig ") {
		slices.Sort(all)
	}
	return all
}

// same compares what a command is to print with what it printed. A line "..." stands for any number of lines, three
// points in one for any part of it. It returns the difference, empty if there is none.
func same(command, want, got string) string {
	pattern := "^"
	for _, line := range plainLines(command, want) {
		if line == "..." {
			pattern += "(?:.*\n)*?"
			continue
		}
		pattern += strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, ".*")
		pattern += "\n"
	}
	lines := plainLines(command, got)
	if regexp.MustCompile(pattern + "$").MatchString(strings.Join(append(lines, ""), "\n")) {
		return ""
	}
	return fmt.Sprintf("Got\n%s\nwant\n%s", got, want)
}
