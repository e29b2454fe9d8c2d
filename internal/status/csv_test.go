package status

import (
	"encoding/csv"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func TestCSV(t *testing.T) {
	source := estate{at: noon}
	h := site(t, source).Handler()
	w := ask(h, "/clients.csv?silent=150")
	if got := w.Header().Get("Content-Disposition"); w.Code != 200 || got != `attachment; filename="kms-clients-2026-03-04.csv"` {
		t.Errorf("%d, %s", w.Code, got)
	}
	if strings.Count(w.Body.String(), "\n") != strings.Count(w.Body.String(), "\r\n") {
		t.Error("A line does not end with CRLF, as RFC 4180 has it")
	}
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := source.Clients(ClientQuery{SilentDays: 150, Limit: MaxRows}).Clients
	if len(rows) != len(want)+1 || len(want) == 0 {
		t.Fatalf("%d rows, want %d and a head", len(rows), len(want))
	}
	first := []string{want[0].ID, want[0].CMID, "PC-1000", "10.1.0.0", "4.0", "2025-05-08T12:00:30Z", "2025-09-12T17:00:30Z",
		"2025-09-12T17:00:30Z",
		"kms1.corp.example.org:1688", "forwarded_ok", "0", "172.8"}
	if !reflect.DeepEqual(rows[1], first) {
		t.Errorf("The first row is\n%q, want\n%q", rows[1], first)
	}
	if rows[4][7] != "" {
		t.Errorf("Who was never served was served at %q", rows[4][7])
	}
	if all, err := csv.NewReader(ask(h, "/clients.csv").Body).ReadAll(); err != nil || len(all) != 241 {
		t.Errorf("Without a query there are %d rows, %v: want all 240, and not a page", len(all), err)
	}
}

// TestCSVHeadHasEveryField: a field that is new is not forgotten.
func TestCSVHeadHasEveryField(t *testing.T) {
	var want []string
	for i := range reflect.TypeFor[Client]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[Client]().Field(i).Tag.Get("json"), ",")
		want = append(want, name)
	}
	if !reflect.DeepEqual(csvHead, want) {
		t.Errorf("The head is %q, the fields are %q", csvHead, want)
	}
}

// formulas is a ledger of clients that call themselves what a spreadsheet would act upon.
type formulas struct{ estate }

func (formulas) Clients(ClientQuery) Clients {
	var out Clients
	for _, name := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1+1", "a,\"b\"", "ok", careless} {
		out.Clients = append(out.Clients, Client{ID: "x", Machine: name})
	}
	return out
}

func TestCSVIsDefused(t *testing.T) {
	rows, err := csv.NewReader(ask(site(t, formulas{estate{at: noon}}).Handler(), "/clients.csv").Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range rows[1:] {
		got = append(got, row[2])
	}
	want := []string{"'=1+1", "'+1", "'-1", "'@SUM(A1)", "\ufffd=1", "\ufffd=1", "'＝1+1", "a,\"b\"", "ok",
		"<script>alert(1)</script>\ufffd[31m\ufffdgnp.exe\ufffd'\"&"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Names became\n%q, want\n%q", got, want)
	}
	for _, s := range []string{"\t", "\r", "\n"} {
		if cell(s+"=1") != "'"+s+"=1" {
			t.Errorf("A cell that begins with %q is %q", s, cell(s+"=1"))
		}
	}
}

// TestWriteCSV: what a machine calls itself is a cell, and never a formula or another line, though nobody looked at it before.
func TestWriteCSV(t *testing.T) {
	for machine, want := range map[string]string{
		"": "", "pc1": "pc1", "=1+1": "'=1+1", "＝1": "'＝1", "a,\"b\"": "a,\"b\"", "a\nb\r\t\x00": "a\ufffdb\ufffd", "\x1b[2J": "\ufffd[2J",
	} {
		var b strings.Builder
		if err := WriteCSV(&b, []Client{{Machine: machine}}); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
		if err != nil || len(rows) != 2 || rows[1][2] != want || strings.Count(b.String(), "\n") != 2 {
			t.Errorf("%q: %q, %v, want %q", machine, b.String(), err, want)
		}
	}
	if err := WriteCSV(full{}, make([]Client, 1000)); err == nil {
		t.Error("No error of a full disk")
	}
}

// full is a file on a disk that is full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestExportsAreBounded(t *testing.T) {
	s := site(t, estate{at: noon})
	for range maxExports {
		leave, err := s.exports.take(t.Context(), maxExports, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	h := s.Handler()
	for path, want := range map[string]int{"/clients.csv": 503, "/v1/clients?limit=1001": 503, "/v1/clients?limit=1000": 200,
		"/clients": 200} {
		if w := ask(h, path); w.Code != want {
			t.Errorf("%s while %d exports are under way: %d, want %d", path, maxExports, w.Code, want)
		}
	}
}
