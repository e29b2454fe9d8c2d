package status

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// read is the answer of h to target, into out.
func read(t *testing.T, h http.Handler, target string, out any) {
	t.Helper()
	w := ask(h, target)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("GET %s: %d, %s", target, w.Code, w.Header().Get("Content-Type"))
	}
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		t.Fatal(err)
	}
}

// TestAPI: what programs get is what the Source said.
func TestAPI(t *testing.T) {
	for name, source := range map[string]estate{"full": {at: noon}, "empty": {at: noon, silent: true}} {
		t.Run(name, func(t *testing.T) {
			s := site(t, source)
			for _, h := range []http.Handler{s.Handler(), s.API()} {
				var r Report
				if read(t, h, "/v1/status", &r); !reflect.DeepEqual(r, source.Report()) {
					t.Errorf("Got %+v", r)
				}
				var c Clients
				if read(t, h, "/v1/clients?search=pc-10&silent=90&unserved=true&offset=1&limit=7", &c); !reflect.DeepEqual(c,
					source.Clients(ClientQuery{"pc-10", 90, true, 1, 7})) {
					t.Errorf("Got %+v", c)
				}
			}
		})
	}
	source := estate{at: noon}
	want, err := source.Why("PC-1000")
	if err != nil {
		t.Fatal(err)
	}
	var w Why
	if read(t, site(t, source).API(), "/v1/why?client=PC-1000", &w); !reflect.DeepEqual(w, want) {
		t.Errorf("Got %+v", w)
	}
}

// TestListsAreNeverNull: nor are they in what the tests go by.
func TestListsAreNeverNull(t *testing.T) {
	for _, source := range []estate{{at: noon}, {at: noon, silent: true}} {
		h := site(t, source).API()
		for _, path := range []string{"/v1/status", "/v1/clients", "/v1/why?client=PC-1000"} {
			if w := ask(h, path); strings.Contains(w.Body.String(), "null") {
				t.Errorf("%s has a null in it", path)
			}
		}
	}
}

// TestProblems say what would be right.
func TestProblems(t *testing.T) {
	h := site(t, estate{at: noon}).Handler()
	for target, want := range map[string]struct {
		status int
		text   string
	}{
		"/v1/status?x=1":                                     {400, "there are none here"},
		"/v1/clients?x=1":                                    {400, "search, silent, unserved, offset, limit"},
		"/v1/clients?search=a&search=b":                      {400, "search stands 2 times"},
		"/v1/clients?search=" + strings.Repeat("x", 129):     {400, "at most 128"},
		"/v1/clients?search=%ff":                             {400, "not UTF-8"},
		"/v1/clients?search=a%00b":                           {400, "control characters"},
		"/v1/clients?search=%zz":                             {400, "NAME=VALUE"},
		"/v1/clients?search=a;limit=3":                       {400, "NAME=VALUE"},
		"/v1/clients?silent=-1":                              {400, "a number from 0 to 3650"},
		"/v1/clients?silent=9999":                            {400, "a number from 0 to 3650"},
		"/v1/clients?silent=%2B90":                           {400, "a number from 0 to 3650"},
		"/v1/clients?silent=1e2":                             {400, "a number from 0 to 3650"},
		"/v1/clients?offset=100001":                          {400, "a number from 0 to 100000"},
		"/v1/clients?limit=0":                                {400, "a number from 1 to 100000"},
		"/v1/clients?limit=100001":                           {400, "a number from 1 to 100000"},
		"/v1/clients?limit=99999999999999999999":             {400, "a number from 1 to 100000"},
		"/v1/clients?unserved=yes":                           {400, "true or false"},
		"/v1/clients?" + strings.Repeat("a", maxQuery+1):     {400, "2049 octets"},
		"/v1/clients?\u202e=1":                               {400, "unknown parameter"},
		"/v1/why":                                            {400, "client is missing"},
		"/v1/why?client=%20":                                 {400, "client is missing"},
		"/v1/why?client=nobody":                              {404, "nothing is known"},
		"/v1/why?client=!":                                   {400, "is no client"},
		"/v1/why?client=" + strings.Repeat("x", maxClient+1): {400, "at most 300"},
		"/v1/nothing":                                        {404, "/v1/status"},
		"/clients.csv?limit=x":                               {400, "a number from 1 to 100000"},
	} {
		w := ask(h, target)
		if text := problem(t, w); w.Code != want.status || !strings.Contains(text, want.text) || printable(text) != text {
			t.Errorf("%.60s: %d, %s, want %d with %q", target, w.Code, text, want.status, want.text)
		}
	}
	// What a form sends for fields that nobody filled in is all right.
	if w := ask(h, "/v1/clients?search=&silent=&unserved=&offset=&limit="); w.Code != 200 {
		t.Errorf("An empty form: %d", w.Code)
	}
}

func TestClientQueryValues(t *testing.T) {
	for _, q := range []ClientQuery{{}, {"10.1.0.0/16", 90, true, 100, 50}, {Search: "a&b=c"}} {
		r, _ := http.NewRequest("GET", "/clients?"+q.Values().Encode(), nil)
		if got, err := parseClients(r, MaxRows); err != nil || got != q {
			t.Errorf("%+v came back as %+v, %v", q, got, err)
		}
	}
}

// careless is a Source that forgot its promise: what others wrote is as it came.
const careless = "<script>alert(1)</script>\x1b[31m\u202egnp.exe\x00\x00\x00'\"&"

func TestScrub(t *testing.T) {
	r := estate{at: noon, hostile: careless}.Report()
	scrub(&r)
	walk(reflect.ValueOf(r), func(s string) {
		if printable(s) != s {
			t.Errorf("%q is not printable", s)
		}
	})
	if want := "dns1<script>alert(1)</script>\ufffd[31m\ufffdgnp.exe\ufffd'\"&"; r.Server.Name != want {
		t.Errorf("%q, want %q", r.Server.Name, want)
	}
	if at := r.Pools[0].Hosts[0].Latency[0].At; !at.Equal(noon.Truncate(time.Minute).Add(-59 * time.Minute)) {
		t.Errorf("A time became %s", at)
	}
	m := struct{ Words map[string]uint64 }{map[string]uint64{"a\x00": 1, "b": 2}}
	if scrub(&m); !reflect.DeepEqual(m.Words, map[string]uint64{"a\ufffd": 1, "b": 2}) {
		t.Errorf("A map became %v", m.Words)
	}
}

// walk calls f with every text below v.
func walk(v reflect.Value, f func(string)) {
	switch v.Kind() {
	case reflect.String:
		f(v.String())
	case reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), f)
		}
	case reflect.Struct:
		if v.Type() != timeType {
			for i := range v.NumField() {
				walk(v.Field(i), f)
			}
		}
	}
}
