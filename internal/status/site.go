package status

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/httpserver"
)

// Site shows a Source to people and programs. Its fields must not change once it is used. Any number of requests may be
// answered at once.
type Site struct {
	Source Source
	Log    func(line string) // what went wrong on this side

	names    atomic.Pointer[[]string]
	last     shared
	searches places        // looks through the ledger at once
	exports  places        // answers of many rows at once
	patience time.Duration // for a request to arrive; 0: patience
}

// Called sets the host names that s may be called by from now on, besides any IP address, localhost and the machine's name.
func (s *Site) Called(names []string) {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = plainHost(n)
	}
	s.names.Store(&all)
}

// called is whether s may be called by the host name of a request.
func (s *Site) called(host string, always []string) bool {
	if names := s.names.Load(); names != nil && called(host, *names) {
		return true
	}
	return called(host, always)
}

const (
	patience       = 10 * time.Second
	maxConnections = 64       // more wait
	maxHeader      = 16 << 10 // octets
	maxSearches    = 2
	maxExports     = 2
)

var errNoPage = errors.New("there is no such page; these are there")

// Handler answers everything: the pages, and the same for programs. It lets in only who calls the server by a name of its
// own, so that no web page elsewhere can read it through the browser of somebody inside.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", s.overview)
	mux.HandleFunc("/hosts", s.hosts)
	mux.HandleFunc("/clients", s.clients)
	mux.HandleFunc("/announcements", s.announcements)
	mux.HandleFunc("/why", s.why)
	mux.HandleFunc("/codes", s.codes)
	mux.HandleFunc("/clients.csv", s.csv)
	api := s.API()
	mux.Handle("/v1/", api)
	mux.Handle("/v1", api) // or it would be sent to the other, with a query that nobody looked at
	for name, a := range assets {
		mux.Handle("/"+name, a)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.refusePage(w, http.StatusNotFound, errNoPage)
	})
	return s.guard(mux)
}

// API answers GET /v1/status, /v1/clients and /v1/why, whatever name the server was called by: at a Unix socket there is none.
func (s *Site) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/status", s.serveStatus)
	mux.HandleFunc("/v1/clients", s.serveClients)
	mux.HandleFunc("/v1/why", s.serveWhy)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, errors.New("there is nothing at this path: GET /v1/status, /v1/clients and /v1/why are"))
	})
	return readOnly(mux)
}

// Serve answers at ln until ctx is done, and then closes ln when the requests under way are answered.
func (s *Site) Serve(ctx context.Context, ln net.Listener) error {
	wait := cmp.Or(s.patience, patience)
	return httpserver.Server{
		Handler: s.Handler(), Connections: maxConnections, Header: maxHeader, Arrival: wait, Answer: 6 * wait,
	}.Serve(ctx, ln)
}
