package status

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// csvHead names the columns of /clients.csv, which are those of Client.
var csvHead = []string{"id", "cmid", "machine", "address", "protocol", "first", "last", "served", "host", "result", "calls",
	"silent_days"}

// csv is GET /clients.csv: the ledger for a spreadsheet, as RFC 4180 has it. All rows, unless a limit is given.
func (s *Site) csv(w http.ResponseWriter, r *http.Request) {
	q, err := parseClients(r, MaxRows)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if q.Limit == 0 {
		q.Limit = MaxRows
	}
	leave, err := s.exports.take(r.Context(), maxExports, time.Second)
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	defer leave()
	c, err := s.search(r.Context(), q)
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="kms-clients-`+c.At.Format(time.DateOnly)+`.csv"`)
	out := csv.NewWriter(w)
	out.UseCRLF = true
	out.Write(csvHead)
	for _, c := range c.Clients {
		row := []string{c.ID, c.CMID, c.Machine, c.Address, c.Version, csvTime(c.First), csvTime(c.Last), csvTime(c.Served),
			c.Host, c.Result, strconv.FormatUint(c.Calls, 10), strconv.FormatFloat(c.Silent, 'f', 1, 64)}
		for i := range row {
			row[i] = cell(row[i])
		}
		if out.Write(row) != nil {
			return // who asked has hung up
		}
	}
	out.Flush()
}

func csvTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// cell is s as a spreadsheet shows it and does nothing else: what would be a formula gets an apostrophe before it. Machines
// choose their names themselves.
func cell(s string) string {
	if first, _ := utf8.DecodeRuneInString(s); s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + s
	}
	return s
}
