package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"

	"github.com/miekg/dns"
)

// maxServices bounds the SRV records that are looked at. A block takes 256 hosts; a zone with more than this many records is
// not one that somebody keeps.
const maxServices = 4 * config.MaxHosts

// zoneLimits bound what reading one zone file takes, with all that it includes: it may come from others.
type zoneLimits struct {
	octets    int64
	files     int // that are included, one as often as it is
	generates int // $GENERATE lines, each of which may stand for 65,536 others
	records   int
}

// zoneMost is far beyond what anybody keeps in a file.
var zoneMost = zoneLimits{octets: 1 << 30, files: 1000, generates: 1000, records: 10_000_000}

// zoneContents is what matters of a zone. Names are absolute, in lower case, and without needless escapes.
type zoneContents struct {
	source    string // where it is from, in words
	apex      string // empty if there is no SOA record
	primary   string // the SOA record's MNAME
	services  map[string][]*dns.SRV
	found     int                 // SRV records in services
	servers   map[string][]string // NS records
	aliases   map[string]string   // CNAME records
	addresses map[string][]netip.Addr
}

// add takes what matters of rr.
func (z *zoneContents) add(rr dns.RR) error {
	if rr.Header().Class != dns.ClassINET {
		return nil
	}
	owner, err := canonicalName(rr.Header().Name)
	if err != nil {
		return err
	}
	if z.services == nil {
		z.services, z.servers = make(map[string][]*dns.SRV), make(map[string][]string)
		z.aliases, z.addresses = make(map[string]string), make(map[string][]netip.Addr)
	}
	switch rr := rr.(type) {
	case *dns.SOA:
		z.apex = owner
		z.primary, err = canonicalName(rr.Ns)
	case *dns.NS:
		var server string
		if server, err = canonicalName(rr.Ns); err == nil {
			z.servers[owner] = append(z.servers[owner], server)
		}
	case *dns.CNAME:
		z.aliases[owner], err = canonicalName(rr.Target)
	case *dns.A, *dns.AAAA:
		addAddress(z.addresses, rr)
	case *dns.SRV:
		if !config.Delegated(owner) {
			return nil
		}
		if z.found++; z.found > maxServices {
			return fmt.Errorf("more than %d _vlmcs._tcp records: nobody keeps so many by hand: look at the zone", maxServices)
		}
		if rr.Target, err = canonicalName(rr.Target); err == nil {
			z.services[owner] = append(z.services[owner], rr)
		}
	}
	return err
}

// follow is where aliases lead from name. ok is false if they lead in a circle.
func (z *zoneContents) follow(name string) (end string, ok bool) {
	for range 8 {
		next, alias := z.aliases[name]
		if !alias {
			return name, true
		}
		name = next
	}
	return name, false
}

// canonicalName is name absolute, in lower case, and with only those escapes that it needs.
func canonicalName(name string) (string, error) {
	var wire [256]byte
	end, err := dns.PackDomainName(dns.Fqdn(name), wire[:], 0, nil, false)
	if err == nil {
		name, _, err = dns.UnpackDomainName(wire[:end], 0)
	}
	if err != nil {
		return "", fmt.Errorf("%q is not a domain name", name)
	}
	return dns.CanonicalName(name), nil
}

// readFile reads a zone file. origin is what names are relative to before any $ORIGIN; empty if the file says it. Relative
// $INCLUDE paths begin in directory or, if that is empty or has no such file, where the file is; none may lead out of both.
func (z *zoneContents) readFile(file, origin, directory string, most zoneLimits) error {
	z.source = fmt.Sprintf("zone file %q", file)
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	files := zoneFiles{bases: []string{filepath.Dir(path)}, left: most}
	if directory != "" {
		if directory, err = filepath.Abs(directory); err != nil {
			return err
		}
		files.bases = []string{directory, filepath.Dir(path)}
	}
	text, err := files.read(path)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(text, []byte{0, 0, 0}) {
		return fmt.Errorf("%s is in BIND's raw format: \"named-compilezone -f raw -F text -o OUT ZONE %s\" first, or -axfr", file, file)
	}
	parser := dns.NewZoneParser(bytes.NewReader(text), origin, path)
	parser.SetIncludeAllowed(true)
	parser.SetIncludeFS(&files)
	parser.SetDefaultTTL(3600) // for a file without $TTL; BIND takes the SOA record's minimum
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		if most.records--; most.records < 0 {
			return fmt.Errorf("%s has too many records to be the zone of anybody", file)
		}
		if err := z.add(rr); err != nil {
			return err
		}
	}
	if files.refused != nil {
		return files.refused // the parser tells only that it could not open
	}
	if err := parser.Err(); err != nil {
		if origin == "" && strings.Contains(err.Error(), "bad owner name") {
			return fmt.Errorf("%s: is it a relative name? -zone NAME says what names are relative to", files.rooted(err))
		}
		return files.rooted(err)
	}
	return nil
}

// zoneFiles opens what a zone file includes. The parser's own way knows no quotes around a path, and no other place than
// beside the including file.
type zoneFiles struct {
	bases   []string // where relative paths may begin, and all others must lead, absolute
	opened  []string
	made    []*generate // by $GENERATE lines: files to the parser
	left    zoneLimits
	refused error // why the last one was not opened
}

var includeLine = regexp.MustCompile(`(?mi)^(\$INCLUDE[ \t]+)(?:"([^"\n]*)"|([^\s;"]+))`)

// read is the text of the file at path, with absolute paths in its $INCLUDE lines. Its $GENERATE lines include what they make.
func (z *zoneFiles) read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, z.left.octets+1))
	if err != nil {
		return nil, err
	}
	if z.left.octets -= int64(len(text)); z.left.octets < 0 {
		return nil, fmt.Errorf("%s, with what it includes, is too long to be the zone of anybody", path)
	}
	if text, err = z.generate(path, text); err != nil {
		return nil, err
	}
	return includeLine.ReplaceAllFunc(text, func(line []byte) []byte {
		m := includeLine.FindSubmatch(line)
		return fmt.Appendf(nil, "%s%s", m[1], z.resolve(string(m[2])+string(m[3]), filepath.Dir(path)))
	}), nil
}

// madeName is the name, to the parser, of what a $GENERATE line makes: no path of a zone's leads there.
func madeName(n int) string { return fmt.Sprintf("$GENERATE/%d", n) }

// generate is text, of the file at path, with the $GENERATE lines replaced by such that include what they make.
func (z *zoneFiles) generate(path string, text []byte) ([]byte, error) {
	var out []byte
	line, end := 1, 0
	for _, m := range generateLine.FindAllSubmatchIndex(text, z.left.generates+1) {
		if z.left.generates--; z.left.generates < 0 {
			return nil, fmt.Errorf("%s has too many $GENERATE lines to be the zone of anybody", path)
		}
		line += bytes.Count(text[end:m[0]], []byte("\n"))
		behind := ""
		if m[2] >= 0 {
			behind = string(text[m[2]:m[3]])
		}
		g, err := parseGenerate(behind)
		if err != nil {
			return nil, fmt.Errorf("%s: $GENERATE at line: %d: %w", path, line, err)
		}
		g.file, g.line = path, line
		out = fmt.Appendf(append(out, text[end:m[0]]...), "$INCLUDE /%s", madeName(len(z.made)))
		z.made = append(z.made, g)
		end = m[1]
	}
	return append(out, text[end:]...), nil
}

// resolve finds the file that is included as name by one in dir.
func (z *zoneFiles) resolve(name, dir string) string {
	if filepath.IsAbs(name) {
		return name
	}
	for _, base := range append(z.bases, dir) {
		path := filepath.Join(base, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return filepath.Join(z.bases[0], name)
}

// Open implements fs.FS for the parser, which takes the slash in front away.
func (z *zoneFiles) Open(name string) (fs.File, error) {
	for i, g := range z.made {
		if name == madeName(i) {
			return zoneFile{g}, nil
		}
	}
	path := filepath.Clean("/" + name)
	z.opened = append(z.opened, name)
	if z.refused = z.permits(path); z.refused != nil {
		return nil, z.refused
	}
	text, err := z.read(path)
	if _, missing := errors.AsType[*fs.PathError](err); !missing {
		z.refused = err // is there, and has too much
	}
	return zoneFile{bytes.NewReader(text)}, err
}

// permits refuses what a zone that others wrote might name to have it read, or to have the reader wait for ever.
func (z *zoneFiles) permits(path string) error {
	within := func(base string) bool { return base == "/" || strings.HasPrefix(path, base+"/") }
	if !slices.ContainsFunc(z.bases, within) {
		return fmt.Errorf("$INCLUDE of %s, which is outside of %s: -directory DIR if it belongs to the zone", path, strings.Join(z.bases, " and "))
	}
	if z.left.files--; z.left.files < 0 {
		return fmt.Errorf("$INCLUDE of %s: too many files to be the zone of anybody", path)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("$INCLUDE of %s, which is no regular file", path)
	}
	return nil
}

// rooted is err with the slash in front of the included file that it names, or with the place of the $GENERATE line.
func (z *zoneFiles) rooted(err error) error {
	for i, g := range z.made {
		if text, ok := strings.CutPrefix(err.Error(), madeName(i)+": "); ok {
			return g.located(text)
		}
	}
	for _, name := range z.opened {
		if strings.HasPrefix(err.Error(), name+":") {
			return fmt.Errorf("/%w", err)
		}
	}
	return err
}

// zoneFile is the text of one included file.
type zoneFile struct{ io.Reader }

func (zoneFile) Stat() (fs.FileInfo, error) { return nil, errors.ErrUnsupported }
func (zoneFile) Close() error               { return nil }
