package test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*(?:\.\.\.)?`)
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
)

// TestNamedTests: each test that a document names is one that there is, so that what is said to be held by it can be tried.
func TestNamedTests(t *testing.T) {
	there := make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "dist") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil || len(there) < 500 {
		t.Fatalf("Only %d tests were found: %v", len(there), err)
	}
	for document, text := range documents(t) {
		for _, name := range testName.FindAllString(text, -1) {
			begin, several := strings.CutSuffix(name, "...")
			if !there[name] && !(several && slices.ContainsFunc(slices.Collect(maps.Keys(there)),
				func(other string) bool { return strings.HasPrefix(other, begin) })) {
				t.Errorf("%s names %s, which there is not", document, name)
			}
		}
	}
}

// kinds is every word that may stand behind the fence of a block in README.md and docs, and what the tests do with it. What
// cannot be run has the reason.
var kinds = map[string]string{
	"corefile":     "started, and asked for the service of each zone (TestDocuments)",
	"zone":         "checked by named-checkzone and served by named; of a part, its first lines are made up",
	"named.conf":   "checked by named-checkconf, and named is asked",
	"unbound.conf": "checked by unbound-checkconf, and unbound is asked",
	"dnsmasq.conf": "checked by dnsmasq --test, and dnsmasq is asked",
	"knot.conf":    "checked by knotc conf-check, and knotd is asked",
	"coredns.conf": "a Corefile without kms, started and asked",
	"sh":           "each line is run and has to succeed; one with -conf is the server, which goes on running",
	"txt":          "if it begins with \"$ \" each command is run and its output compared; otherwise nothing, as there is nothing to run",
	"log":          "each line must have been logged, but for times and durations, by a server that saw such a thing happen",

	// Not run:
	"json":       "there is nothing to run: it has to be JSON (TestBlocks), and internal/status compares its fields with what it answers",
	"install":    "it changes the machine: the tests of packaging/ install, upgrade and remove the package in a Debian of their own",
	"powershell": "there is no Windows here: only the commands are compared with a list (TestPowerShell)",
	"":           "the Corefile syntax, which is not a Corefile: compared with what the parser takes (TestReadmeSyntax of the plugin)",
}

// block is one fenced block of a document.
type block struct {
	document string // as in README.md
	line     int    // of the fence
	kind     string
	file     string // what it is to be called, behind the kind; empty if nothing refers to it
	text     string
}

// documents is every document that there is, by its path from the root of the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("No documents in ../docs: %v", err)
	}
	all := make(map[string]string)
	for _, file := range append(files, "../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(filepath.ToSlash(file), "../")] = string(text)
	}
	return all
}

var fence = regexp.MustCompile("^( *)(~~~+|```+) *(.*)$")

// blocks is the fenced blocks of a document, in order. Those in lists are indented, and lose the indentation.
func blocks(t *testing.T, document, text string) []block {
	t.Helper()
	var all []block
	var open []string // of the block that we are in: indentation and fence; nil if in none
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open == nil && m != nil:
			kind, file, _ := strings.Cut(m[3], " ")
			all = append(all, block{document: document, line: i + 1, kind: kind, file: file})
			open = m[1:3]
		case open != nil && m != nil && strings.HasPrefix(m[2], open[1]) && m[3] == "":
			open = nil
		case open != nil:
			all[len(all)-1].text += strings.TrimPrefix(line, open[0]) + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: The block is never closed", document, all[len(all)-1].line)
	}
	return all
}

// TestBlocks: every block is of a kind that the tests know, so that nothing stands in a document that nobody ever tried.
func TestBlocks(t *testing.T) {
	for document, text := range documents(t) {
		for _, b := range blocks(t, document, text) {
			if _, ok := kinds[b.kind]; !ok {
				t.Errorf("%s:%d: A block of kind %q; give it one of %q, or teach TestDocuments this one",
					b.document, b.line, b.kind, slices.Sorted(maps.Keys(kinds)))
			}
			if b.kind == "json" && !json.Valid([]byte(b.text)) {
				t.Errorf("%s:%d: This is no JSON", b.document, b.line)
			}
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	code    = regexp.MustCompile("(?s)``.*?``|`[^`\n]*`")
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks: what documents refer to is there, headings included.
func TestLinks(t *testing.T) {
	all := documents(t)
	checked := 0
	for document, text := range all {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(prose(text), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // another site's
			}
			checked++
			path := document
			if target != "" {
				path = filepath.ToSlash(filepath.Join(filepath.Dir(document), target))
			}
			if _, err := os.Stat(filepath.Join("..", path)); err != nil {
				t.Errorf("%s refers to %s, which is not there", document, m[1])
			} else if anchor != "" && !slices.Contains(anchors(all[path]), anchor) {
				t.Errorf("%s refers to %s, but %s has no such heading; it has %q", document, m[1], path, anchors(all[path]))
			}
		}
	}
	if checked == 0 {
		t.Error("Not one link was found")
	}
}

// prose is text without its blocks.
func prose(text string) string {
	var kept []string
	closing := ""
	for _, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case closing == "" && m != nil:
			closing = m[2]
		case closing != "" && m != nil && strings.HasPrefix(m[2], closing) && m[3] == "":
			closing = ""
		case closing == "":
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// anchors is what browsers of repositories make of the headings of a document.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(prose(text), -1) {
		all = append(all, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

func TestAnchors(t *testing.T) {
	got := anchors("# The way in\n## `kms hosts`, and more\n~~~ sh\n# no heading\n~~~\n### Not *that*: 2 DNS-servers\n")
	want := []string{"the-way-in", "kms-hosts-and-more", "not-that-2-dns-servers"}
	if !slices.Equal(got, want) {
		t.Errorf("Got anchors %q, want %q", got, want)
	}
}

// windows is the commands that documents may tell people to run on Windows. Nobody could run them here; a new one is to be
// looked up in Microsoft's reference before it gets in.
var windows = []string{
	"Add-DnsServerConditionalForwarderZone", "Add-DnsServerResourceRecordA", "Add-DnsServerZoneDelegation", "Enable-NetFirewallRule",
	"Export-Csv", "Format-List", "Get-DnsServerResourceRecord", "Get-WinEvent", "Remove-DnsServerResourceRecord", "Resolve-DnsName",
	"Test-NetConnection", "cscript", "dnscmd",
}

// slmgr is what slmgr.vbs takes, of what is told here.
var slmgr = []string{"/ato", "/ckhc", "/ckms", "/ckms-domain", "/cdns", "/dlv", "/rearm", "/sdns", "/skhc", "/skms", "/skms-domain", "/upk"}

// TestPowerShell: as Windows commands cannot be run, they are at least commands that exist, with quotes and brackets closed.
func TestPowerShell(t *testing.T) {
	for document, text := range documents(t) {
		for _, b := range blocks(t, document, text) {
			if b.kind != "powershell" {
				continue
			}
			for line := range strings.Lines(b.text) {
				for command := range strings.SplitSeq(line, "|") {
					if word := strings.Fields(command)[0]; !slices.Contains(windows, word) {
						t.Errorf("%s:%d: %s is not among the commands for Windows: %q", document, b.line, word, windows)
					}
				}
				if strings.Count(line, `"`)%2 != 0 || strings.Count(line, "'")%2 != 0 || strings.Count(line, "{") != strings.Count(line, "}") {
					t.Errorf("%s:%d: Quotes or brackets are open in %s", document, b.line, line)
				}
			}
		}
		for _, m := range regexp.MustCompile(`slmgr(?:\.vbs)? (/[a-z-]+)`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(slmgr, m[1]) {
				t.Errorf("%s: slmgr %s is not among what it takes: %q", document, m[1], slmgr)
			}
		}
	}
}
