package status

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed page
var files embed.FS

// page is what the templates show. They write everything that works without a script; live.js asks for the same page again
// and puts in what changed.
type page struct {
	*Report
	Title string
	Here  string // the path in the navigation; empty if it is none of those
	Every int    // seconds from one look of an open page to the next; 0: it does not look
	Body  any
}

// Now is the time of the Report: nothing on the page is reckoned from any other.
func (p page) Now() time.Time { return p.At }

// News is what is read out to those who do not see it change.
func (p page) News() []Event { return p.Events[:min(len(p.Events), 5)] }

// Worst is the severity that heads the page.
func (p page) Worst() string {
	switch p.Status {
	case "warning", "critical":
		return p.Status
	}
	return "ok"
}

// templates has one for each page.
var templates = func() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{
		"ago": ago, "clock": clock, "took": took, "percent": percent, "number": number, "counted": counted, "shape": shape,
		"seconds": seconds, "id": id, "parts": parts, "tiers": tiers,
		"plot": drawPlot, "strip": drawStrip, "gauge": drawGauge, "histogram": drawHistogram,
		"since":     func(now, t time.Time) string { return span(now.Sub(t)) },
		"until":     func(now, t time.Time) string { return span(t.Sub(now)) },
		"stamp":     func(t time.Time) string { return t.Format(time.RFC3339) },
		"note":      func(state string) string { return stateNotes[state] },
		"result":    func(s string) string { return word(resultWords, s) },
		"refusal":   func(s string) string { return word(refusalWords, s) },
		"zoneWord":  func(s string) string { return word(zoneWords, s) },
		"condition": func(s string) string { return word(conditionWords, s) },
		"permille":  func(share float64) int { return int(min(max(share, 0), 1)*1000 + .5) },
		"sub":       func(a, b float64) float64 { return a - b },
		"first":     func(n int, e []Event) []Event { return e[:min(len(e), n)] },
		"name":      name,
		"sentence":  sentence,
		"remark":    remark,
		"outcome": func(result string) string { // of a call, as the state whose picture fits
			if result == "forwarded_ok" {
				return "up"
			}
			return "down"
		},
		"legend": func() []string { return stateOrder },
	}).ParseFS(files, "page/layout.html", "page/parts.html"))
	out := make(map[string]*template.Template)
	for _, name := range []string{"overview", "hosts", "clients", "announcements", "why", "codes", "problem"} {
		out[name] = template.Must(template.Must(layout.Clone()).ParseFS(files, "page/"+name+".html"))
	}
	return out
}()

// name is a host name or an endpoint, that may be broken where it has a dot or a colon.
func name(s string) template.HTML {
	return template.HTML(strings.NewReplacer(".", "<wbr>.", ":", "<wbr>:").Replace(template.HTMLEscapeString(s)))
}

// id is a name for an element, the same whenever the page is made for the same of.
func id(of ...any) string {
	h := fnv.New64a()
	for _, v := range of {
		if t, ok := v.(time.Time); ok {
			v = t.UnixNano()
		}
		fmt.Fprintf(h, "%v\n", v)
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// tier is the records of one priority.
type tier struct {
	Priority uint16
	Title    string
	Records  []Record
}

func tiers(records []Record) []tier {
	var out []tier
	for _, r := range records {
		if len(out) == 0 || out[len(out)-1].Priority != r.Priority {
			title := "If those fail"
			if len(out) == 0 {
				title = "Tried first"
			}
			out = append(out, tier{Priority: r.Priority, Title: title})
		}
		last := &out[len(out)-1]
		last.Records = append(last.Records, r)
	}
	return out
}

// part is how many hosts are in a state.
type part struct {
	State string
	Count int
}

func parts(hosts []Host) []part {
	var out []part
	for _, state := range stateOrder {
		n := 0
		for _, h := range hosts {
			if shape(h.State) == state {
				n++
			}
		}
		if n > 0 {
			out = append(out, part{state, n})
		}
	}
	slices.Reverse(out) // those that are well come first: it reads "9 up, 1 down"
	return out
}

// show writes a page. It is made whole before the first octet leaves: half a page would be worse than an error.
func (s *Site) show(w http.ResponseWriter, status int, name string, p page) {
	var b bytes.Buffer
	if err := templates[name].Execute(&b, p); err != nil {
		s.Log(fmt.Sprintf("status page %s cannot be made: %v", name, err))
		http.Error(w, "The page cannot be made; the log of the server says why. /v1/status says the same for programs.",
			http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// refusePage is a page that says what is wrong.
func (s *Site) refusePage(w http.ResponseWriter, status int, err error) {
	title := map[int]string{
		http.StatusNotFound: "Not here", http.StatusBadRequest: "Not understood", http.StatusServiceUnavailable: "Busy",
	}[status]
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	s.show(w, status, "problem", page{Report: s.report(), Title: cmp.Or(title, "Problem"), Body: sentence(err.Error())})
}

// overview is GET /.
func (s *Site) overview(w http.ResponseWriter, r *http.Request) {
	if q := parseQuery(r); q.err != nil {
		s.refusePage(w, http.StatusBadRequest, q.err)
		return
	}
	s.show(w, http.StatusOK, "overview", page{Report: s.report(), Title: "Overview", Here: "/", Every: 2})
}

// announcements is GET /announcements.
func (s *Site) announcements(w http.ResponseWriter, r *http.Request) {
	if q := parseQuery(r); q.err != nil {
		s.refusePage(w, http.StatusBadRequest, q.err)
		return
	}
	s.show(w, http.StatusOK, "announcements", page{Report: s.report(), Title: "Announcements", Here: "/announcements", Every: 5})
}

// clientsBody is what the page of clients shows.
type clientsBody struct {
	Clients
	Query ClientQuery
	Error error
	Last  int    // the number of the last row shown
	Prev  string // queries of the neighbouring pages; empty if there is none
	Next  string
	CSV   string // the query of all that match
}

// First is the number of the first row shown.
func (b clientsBody) First() int { return b.Offset + 1 }

// clients is GET /clients.
func (s *Site) clients(w http.ResponseWriter, r *http.Request) {
	q, err := parseClients(r, pageRows)
	if err != nil {
		s.refusePage(w, http.StatusBadRequest, err)
		return
	}
	b := clientsBody{Query: q}
	if b.Clients, err = s.search(r.Context(), q); err != nil {
		s.refusePage(w, statusOf(err), err)
		return
	}
	b.Last = b.Offset + len(b.Clients.Clients)
	rows := cmp.Or(q.Limit, DefaultRows)
	if q.Offset > 0 {
		prev := q
		prev.Offset = max(0, q.Offset-rows)
		b.Prev = "/clients?" + prev.Values().Encode()
	}
	if b.Last < b.Total && q.Offset+rows <= MaxRows {
		next := q
		next.Offset = q.Offset + rows
		b.Next = "/clients?" + next.Values().Encode()
	}
	all := q
	all.Offset, all.Limit = 0, 0
	b.CSV = "/clients.csv"
	if v := all.Values(); len(v) > 0 {
		b.CSV += "?" + v.Encode()
	}
	s.show(w, http.StatusOK, "clients", page{Report: s.report(), Title: "Clients", Here: "/clients", Every: 10, Body: b})
}

// whyBody is what the page of one client shows.
type whyBody struct {
	Why
	Asked bool // for a client; else there is only the form
}

// why is GET /why.
func (s *Site) why(w http.ResponseWriter, r *http.Request) {
	q := parseQuery(r, "client")
	client := q.text("client", maxClient)
	if q.err != nil {
		s.refusePage(w, http.StatusBadRequest, q.err)
		return
	}
	p := page{Title: "One client", Here: "/why", Body: whyBody{}}
	status := http.StatusOK
	if client != "" {
		why, err := s.story(r.Context(), client)
		switch {
		case errors.Is(err, errBusy):
			s.refusePage(w, statusOf(err), err)
			return
		case err != nil:
			why = Why{Query: client, Story: []string{printable(err.Error())}}
			status = statusOf(err)
		default:
			p.Every = 5
		}
		p.Title, p.Body = limited(client, 60), whyBody{Why: why, Asked: true}
	}
	p.Report = s.report()
	s.show(w, status, "why", p)
}
