package status

import (
	"encoding/csv"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// csvHead names the columns of WriteCSV, which are the fields of Client.
var csvHead = []string{"id", "cmid", "machine", "address", "protocol", "first", "last", "served", "host", "result", "calls",
	"silent_days"}

// csv is GET /clients.csv: the ledger for a spreadsheet. All rows, unless a limit is given.
func (s *Site) csv(w http.ResponseWriter, r *http.Request) {
	s.export(w, r, MaxRows, func(c Clients) {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
		w.Header().Set("Content-Disposition", `attachment; filename="kms-clients-`+c.At.Format(time.DateOnly)+`.csv"`)
		WriteCSV(w, c.Clients) // who has hung up needs no rest
	})
}

// WriteCSV writes a head and clients for a spreadsheet, as RFC 4180 has it. Times are in RFC 3339 and UTC, and empty where
// there is none. What is no printable text, or would be a formula, is made harmless.
func WriteCSV(w io.Writer, clients []Client) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	out.Write(csvHead)
	for _, c := range clients {
		row := []string{c.ID, c.CMID, c.Machine, c.Address, c.Version, csvTime(c.First), csvTime(c.Last), csvTime(c.Served),
			c.Host, c.Result, strconv.FormatUint(c.Calls, 10), strconv.FormatFloat(c.Silent, 'f', 1, 64)}
		for i := range row {
			row[i] = cell(printable(row[i]))
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
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
