package status

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// pages is every page, and every way to look at it.
var pages = []string{
	"/", "/hosts", "/hosts?ill=true", "/hosts?pool=corp.example.org", "/hosts?pool=empty.example.org",
	"/hosts?host=kms3.corp.example.org:1688",
	"/hosts?pool=lab.example.org&offset=240", "/hosts?offset=24", "/hosts?offset=9999", "/clients",
	"/clients?search=pc-10&silent=90&unserved=true",
	"/clients?silent=33", "/clients?offset=100", "/clients?offset=9999", "/clients?search=%3Cb%3E%22%27", "/announcements", "/why", "/codes", "/codes?code=0xC004F074",
	"/codes?code=%3Cscript%3E", "/codes?code=event+12288",
	"/why?client=PC-1000",
	"/why?client=nobody", "/why?client=!%3Cscript%3E", "/why?client=%22%3E%3Cscript%3E", "/nothing", "/hosts?x=%3Cscript%3E",
	"/hosts?pool=nobody", "/hosts?host=nobody",
}

// element is one element of a page.
type element struct {
	name  string
	attrs map[string]string
	path  []string // what it is in, outermost first
	text  string   // directly in it
}

// void is the elements of HTML that have no end.
var void = []string{"meta", "link", "img", "input", "wbr", "br"}

// dissect takes a page apart, and fails the test where it is not balanced: parsers for browsers forgive everything.
func dissect(t *testing.T, where, page string) []*element {
	t.Helper()
	var all, open []*element
	z := html.NewTokenizer(strings.NewReader(page))
	if !strings.HasPrefix(page, "<!doctype html>\n<html lang=\"en\"") {
		t.Errorf("%s begins with %.60q", where, page)
	}
	for {
		kind := z.Next()
		token := z.Token()
		switch kind {
		case html.ErrorToken:
			if z.Err() != io.EOF || len(open) > 0 {
				t.Errorf("%s ends with %v, %d elements still open", where, z.Err(), len(open))
			}
			return all
		case html.StartTagToken, html.SelfClosingTagToken:
			e := &element{name: token.Data, attrs: make(map[string]string)}
			for _, o := range open {
				e.path = append(e.path, o.name)
			}
			for _, a := range token.Attr {
				if _, ok := e.attrs[a.Key]; ok {
					t.Errorf("%s: <%s> has %s twice", where, e.name, a.Key)
				}
				e.attrs[a.Key] = a.Val
			}
			all = append(all, e)
			switch foreign := e.name == "svg" || slices.Contains(e.path, "svg"); {
			case kind == html.SelfClosingTagToken && !foreign:
				t.Errorf("%s: <%s/> is no HTML", where, e.name)
			case kind == html.StartTagToken && !slices.Contains(void, e.name):
				open = append(open, e)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1].name != token.Data {
				t.Fatalf("%s: </%s> ends what did not begin, or is still open: %v", where, token.Data, names(open))
			}
			open = open[:len(open)-1]
		case html.TextToken:
			if len(open) > 0 {
				open[len(open)-1].text += token.Data
			}
		}
	}
}

func names(elements []*element) (out []string) {
	for _, e := range elements {
		out = append(out, e.name)
	}
	return out
}

// TestPages: whatever there is to show, pages are whole, have nothing that the Content-Security-Policy forbids, refer only to
// what is there, and say in words what they show in pictures.
func TestPages(t *testing.T) {
	for name, source := range map[string]estate{
		"full": {at: noon}, "empty": {at: noon, silent: true}, "hostile": {at: noon, hostile: careless, small: true},
		"views": {at: noon, small: true, views: true},
	} {
		h := site(t, source).Handler()
		for _, path := range pages {
			t.Run(name+path, func(t *testing.T) {
				w := ask(h, path)
				if w.Code >= 500 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
					t.Fatalf("%d, %s", w.Code, w.Header().Get("Content-Type"))
				}
				page := w.Body.String()
				if strings.Contains(page, "ZgotmplZ") {
					t.Error("Something was thought unsafe where it stands")
				}
				all := dissect(t, path, page)
				checkIDs(t, all)
				checkPolicy(t, all)
				checkReading(t, all)
				if strings.Contains(name, "hostile") && strings.ContainsAny(page, "\x00\x1b\u202e") {
					t.Error("What others wrote came through as it was")
				}
			})
		}
	}
}

// checkIDs: ids are unique, and what refers to one finds it.
func checkIDs(t *testing.T, all []*element) {
	t.Helper()
	ids := make(map[string]bool)
	for _, e := range all {
		if id := e.attrs["id"]; id != "" {
			if ids[id] {
				t.Errorf("There are two of id %s", id)
			}
			ids[id] = true
		}
	}
	for _, e := range all {
		for _, name := range []string{"for", "aria-labelledby", "aria-describedby"} {
			if v := e.attrs[name]; v != "" && !ids[v] {
				t.Errorf("<%s %s=%q> refers to nothing", e.name, name, v)
			}
		}
		if v := e.attrs["href"]; strings.HasPrefix(v, "#") && !ids[v[1:]] {
			t.Errorf("<%s href=%q> leads nowhere", e.name, v)
		}
		if _, live := e.attrs["data-live"]; live && e.attrs["id"] == "" {
			t.Errorf("<%s data-live> has no id to be found by", e.name)
		}
	}
}

// checkPolicy: nothing that the Content-Security-Policy forbids, and nothing from elsewhere.
func checkPolicy(t *testing.T, all []*element) {
	t.Helper()
	for _, e := range all {
		if slices.Contains([]string{"style", "iframe", "object", "embed", "base", "template"}, e.name) {
			t.Errorf("There is <%s>", e.name)
		}
		if e.name == "script" && (e.attrs["src"] != "/live.js" || e.text != "") {
			t.Errorf("There is a script %v %q", e.attrs, e.text)
		}
		for name, v := range e.attrs {
			if name == "style" || strings.HasPrefix(name, "on") {
				t.Errorf("<%s> has %s", e.name, name)
			}
			link := name == "href" || name == "src" || name == "action"
			inside := strings.HasPrefix(v, "#") || strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "//")
			if link && !inside {
				t.Errorf("<%s %s=%q> leads out", e.name, name, v)
			}
		}
	}
}

// checkReading: who does not see the page gets the same of it.
func checkReading(t *testing.T, all []*element) {
	t.Helper()
	heading, headings := 0, 0
	marks := make(map[string]int)
	for i, e := range all {
		switch e.name {
		case "h1", "h2", "h3", "h4":
			level := int(e.name[1] - '0')
			if level > heading+1 {
				t.Errorf("<%s> follows a heading of level %d", e.name, heading)
			}
			if heading = level; level == 1 {
				headings++
			}
		case "svg":
			if e.attrs["aria-hidden"] != "true" && (e.attrs["role"] != "img" || e.attrs["aria-label"] == "") {
				t.Errorf("A picture says nothing: %v", e.attrs)
			}
		case "img":
			if e.attrs["alt"] == "" {
				t.Errorf("A picture says nothing: %v", e.attrs)
			}
		case "table":
			if all[i+1].name != "caption" {
				t.Error("A table says not what it is")
			}
		case "th":
			if e.attrs["scope"] == "" {
				t.Error("The head of a row or column says not of which")
			}
		case "input", "select":
			if !slices.ContainsFunc(all, func(l *element) bool { return l.name == "label" && l.attrs["for"] == e.attrs["id"] }) {
				t.Errorf("A field has no label: %v", e.attrs)
			}
		case "nav", "form":
			if e.attrs["aria-label"] == "" {
				t.Errorf("<%s> has no name", e.name)
			}
		}
		marks[e.name]++
		if e.attrs["aria-live"] != "" && e.attrs["aria-live"] != "polite" {
			t.Errorf("<%s> interrupts", e.name)
		}
	}
	if headings != 1 || marks["main"] != 1 || marks["title"] != 1 || marks["footer"] != 1 {
		t.Errorf("%d h1, %d main, %d title, %d footer; want one of each", headings, marks["main"], marks["title"], marks["footer"])
	}
}

// TestLinks: from the overview everything can be reached, and nothing leads nowhere.
func TestLinks(t *testing.T) {
	h := site(t, estate{at: noon, hostile: " <&\"'%/?#é"}).Handler()
	seen := map[string]bool{"/": true}
	for queue := []string{"/"}; len(queue) > 0 && len(seen) < 400; queue = queue[1:] {
		target := queue[0]
		path, query, _ := strings.Cut(target, "?")
		w := ask(h, path, func(r *http.Request) { r.URL.RawQuery = query })
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", target, w.Code)
		}
		if w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			continue
		}
		for _, e := range dissect(t, target, w.Body.String()) {
			for _, v := range []string{e.attrs["href"], e.attrs["src"], e.attrs["action"]} {
				if v = strings.TrimSuffix(v, "#"); strings.HasPrefix(v, "/") && !seen[v] {
					seen[v] = true
					queue = append(queue, v)
				}
			}
		}
	}
	for _, want := range append(everything[:5:5], "/clients.csv", "/v1/status", "/style.css", "/live.js", "/critical.svg") {
		if !seen[want] {
			t.Errorf("Nothing leads to %s", want)
		}
	}
}

// visible is the text of the page at path, with white space between the parts.
func visible(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	w := ask(h, path)
	var b strings.Builder
	for z := html.NewTokenizer(w.Body); ; {
		switch z.Next() {
		case html.ErrorToken:
			return strings.Join(strings.Fields(b.String()), " ")
		case html.TextToken:
			b.WriteString(z.Token().Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if token.Data != "wbr" {
				b.WriteString(" ")
			}
			for _, a := range token.Attr {
				if a.Key == "aria-label" {
					b.WriteString(a.Val + " ")
				}
			}
		}
	}
}

// TestPagesSay what the issue wants to be known at a glance.
func TestPagesSay(t *testing.T) {
	h := site(t, estate{at: noon}).Handler()
	for path, wants := range map[string][]string{
		"/": {
			"1 zone has an empty answer, and 2 hosts need somebody.", "critical empty.example.org", "What to do Name a host in the Corefile",
			"60 % of clients", "33 % of Vista and Server 2008",
			"It failed lately, and stands behind every healthy host. Configured with priority 0.",
			"Tried first priority 0", "If those fail priority 21", "kms3.corp.example.org:1688 down It failed 8 times in a row.",
			"an empty answer",
			"The last hour: down 8 min, up 52 min.", "245 up 4 suspect 7 down", "kms1.corp.example.org:1688 is down after 40 s",
			"61 did not call for 90 days and 9 for 150", "As of 12:00:30",
		},
		"/hosts": {
			"kms2.corp.example.org:1688 suspect for 6 s", "Last error No answer from 192.0.2.11:1688 within 2s",
			"Drained by alice, 1 d 2 h ago: new disks",
			"31 distinct clients in 30 days: enough for clients and servers",
			"7 distinct clients in 30 days: enough for servers; 18 more for clients",
			"0 distinct clients in 30 days: 5 more for servers, 25 more for clients",
			"8,412 distinct clients in 30 days: all that a host counts",
			"211 × 0xC004F042 the last 40 min ago The host has no key for this product", "Its own count 50, 9 s ago", "an announcement",
			"Probes of the last hour: 360 passed in 2.1 ms on average", "8 failures", "from a network that may not call 14",
			"This pool has no hosts.",
			"Hosts 1 to 24 of 263",
		},
		"/hosts?ill=true": {"kms3.corp.example.org:1688 down for 8 min", "17 hosts"},
		"/clients": {"10,342 known", "17 never served", "1 to 100 of 240 clients",
			"All of these as CSV", "172 d ago over 150 days", "147 to 153 days 3"},
		"/clients?search=zzz": {"No client matches."},
		"/clients?silent=90":  {"over 90 days"},
		"/announcements": {"41 accepted", "3 refused", "10.9.0.77",
			"10.9.0.77 is in no network that allow names", "key kms-update.example.org"},
		"/why?client=PC-1000": {"PC-1000 called 3 s ago", "kms1.corp.example.org:1688 silent 2.0 s",
			"count 31, needs 25 · licence: licensed", "It answered this client before.", "0 0 1688 kms.corp.example.org"},
		"/why?client=nobody":                     {"Nothing is known of that client"},
		"/codes":                                 {"0xC004F074", "12288"},
		"/codes?code=c004f074":                   {"0xC004F074", "most frequent first", "Where this is from"},
		"/codes?code=gibberish":                  {"gibberish"},
		"/hosts?pool=nobody":                     {"Not here", "There is no pool nobody"},
		"/hosts?host=kms3.corp.example.org:1688": {"Changes (50)"},
	} {
		text := visible(t, h, path)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%.3000s", path, want, text)
			}
		}
	}
	for path, not := range map[string]string{"/hosts?ill=true": "kms1.corp.example.org:1688 up",
		"/hosts?pool=branch.example.org": "kms1.corp.example.org:1688 up", "/clients?silent=150": "PC-1200"} {
		if text := visible(t, h, path); strings.Contains(text, not) {
			t.Errorf("%s says %q", path, not)
		}
	}
	empty := site(t, estate{at: noon, silent: true}).Handler()
	for path, want := range map[string]string{"/": "No zone is served", "/hosts": "There is no host.",
		"/clients": "No client has called yet.", "/announcements": "nobody may announce a host"} {
		if text := visible(t, empty, path); !strings.Contains(text, want) {
			t.Errorf("With nothing to show, %s does not say %q: %s", path, want, text)
		}
	}
}

// TestAbbreviated: with 256 hosts in a pool the page of hosts stays small enough to be fetched every other second.
func TestAbbreviated(t *testing.T) {
	h := site(t, estate{at: noon}).Handler()
	for path, limit := range map[string]int{"/": 400 << 10, "/hosts": 250 << 10, "/clients": 120 << 10} {
		if n := ask(h, path).Body.Len(); n > limit {
			t.Errorf("%s has %d octets, want at most %d", path, n, limit)
		}
	}
}

// broken is a Source with numbers that are none.
type broken struct{ estate }

func (b broken) Report() Report {
	r := b.estate.Report()
	nan := r.Zones[0].Answer[0].Chance - r.Zones[0].Answer[0].Chance
	h := &r.Pools[0].Hosts[0]
	h.RTT, h.Clients, h.Latency[3].Mean, h.Latency[4].Max, h.Latency[5].At = 1e300, -7, 1/nan, 1/nan, time.Time{}
	r.Zones[0].Answer[0].Chance = 0 / nan
	r.Clients.Weeks = append(r.Clients.Weeks, 1, 2, 3, -4)
	r.Pools[0].Hosts[1].State, r.Zones[0].Result, r.Status = "a new state", "a_new_result", "new"
	return r
}

// TestBrokenNumbers: what makes no sense is shown somehow, and takes nothing else away.
func TestBrokenNumbers(t *testing.T) {
	h := site(t, broken{estate{at: noon}}).Handler()
	for _, path := range []string{"/", "/hosts", "/clients"} {
		w := ask(h, path)
		if w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
		if page := w.Body.String(); strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
			t.Errorf("%s has a number that is none", path)
		}
		dissect(t, path, w.Body.String())
	}
	if w := ask(h, "/v1/status"); w.Code != http.StatusInternalServerError || problem(t, w) == "" {
		t.Errorf("As JSON, which cannot say it: %d", w.Code)
	}
	if text := visible(t, h, "/"); !strings.Contains(text, "a new result") || !strings.Contains(text, "a new state") {
		t.Errorf("What is new here is not shown: %s", text)
	}
}

// TestID is the same for the same, and another for others.
func TestID(t *testing.T) {
	seen := make(map[string]string)
	for _, of := range [][]any{{}, {"a"}, {"a", "b"}, {"ab"}, {"a\nb"}, {noon}, {noon.Add(time.Nanosecond)}, {"a", uint16(1)}} {
		got := id(of...)
		if got != id(of...) || strings.ContainsAny(got, " \"'<>&") {
			t.Errorf("%v became %q", of, got)
		}
		if other, ok := seen[got]; ok && other != "[a b]" { // a\nb is no name of anything
			t.Errorf("%v and %s are both %q", of, other, got)
		}
		seen[got] = fmt.Sprint(of)
	}
	if id(noon) != id(noon.In(time.FixedZone("", 3600))) {
		t.Error("The same moment elsewhere has another name")
	}
}
