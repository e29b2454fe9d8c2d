package status

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// many is how many rows are so many that only a few may ask for them at once.
const many = 1_000

// answer writes body as JSON.
func answer(w http.ResponseWriter, status int, body any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(body); err != nil { // no shape here has what JSON cannot say, but a number may be none
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	w.Write(b.Bytes()) // who has hung up needs no answer
}

func refuse(w http.ResponseWriter, status int, err error) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	answer(w, status, Problem{Version, err.Error()})
}

// statusOf is the HTTP status for what s.search and s.story say.
func statusOf(err error) int {
	switch {
	case errors.Is(err, errBusy):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrUnknownClient):
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// serveStatus is GET /v1/status.
func (s *Site) serveStatus(w http.ResponseWriter, r *http.Request) {
	if q := parseQuery(r); q.err != nil {
		refuse(w, http.StatusBadRequest, q.err)
		return
	}
	answer(w, http.StatusOK, s.report())
}

// serveClients is GET /v1/clients.
func (s *Site) serveClients(w http.ResponseWriter, r *http.Request) {
	s.export(w, r, DefaultRows, func(c Clients) { answer(w, http.StatusOK, c) })
}

// export writes the clients that r asks for, as many as rows unless it says how many, or what is wrong. Only a few may have
// many rows written at once.
func (s *Site) export(w http.ResponseWriter, r *http.Request, rows int, write func(Clients)) {
	q, err := parseClients(r, MaxRows)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if q.Limit = cmp.Or(q.Limit, rows); q.Limit > many {
		leave, err := s.exports.take(r.Context(), maxExports, time.Second)
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		defer leave()
	}
	c, err := s.search(r.Context(), q)
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	write(c)
}

// serveWhy is GET /v1/why.
func (s *Site) serveWhy(w http.ResponseWriter, r *http.Request) {
	q := parseQuery(r, "client")
	client := q.text("client", maxClient)
	if q.err == nil && client == "" {
		q.fail("client is missing: /v1/why?client= and a CMID, an address or the name of a machine")
	}
	if q.err != nil {
		refuse(w, http.StatusBadRequest, q.err)
		return
	}
	why, err := s.story(r.Context(), client)
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	answer(w, http.StatusOK, why)
}
