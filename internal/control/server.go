package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/user"
	"path"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/httpserver"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

// Server answers at a control socket.
type Server struct {
	Engine *engine.Engine
	Status http.Handler      // answers GET /v1/status, /v1/clients and /v1/why, as the status page's server does; nil: nobody does
	Log    func(line string) // one for each decision

	keeping  atomic.Pointer[keeping]
	patience time.Duration // for a request to arrive; 0: patience
}

// patience is how long a client may take over its request. All places may be taken by those who take that long.
const patience = 10 * time.Second

// keeping is where decisions are kept.
type keeping struct {
	store  *store.Store // nil: nowhere
	broken error        // why there is none although one is configured
}

// Keep says where decisions are kept from now on. st is nil if there is no store, and broken then says why, if there should
// be one.
func (s *Server) Keep(st *store.Store, broken error) { s.keeping.Store(&keeping{st, broken}) }

// kept is what Keep said last.
func (s *Server) kept() keeping {
	if k := s.keeping.Load(); k != nil {
		return *k
	}
	return keeping{}
}

// Serve answers at ln until ctx is done, and then closes ln when the requests under way are answered.
func (s *Server) Serve(ctx context.Context, ln *Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/hosts", s.hosts)
	mux.HandleFunc("POST /v1/drain", func(w http.ResponseWriter, r *http.Request) { s.decide(w, r, s.drain) })
	mux.HandleFunc("POST /v1/undrain", func(w http.ResponseWriter, r *http.Request) { s.decide(w, r, s.undrain) })
	if s.Status != nil {
		for _, path := range []string{"status", "clients", "why"} {
			mux.Handle("GET /v1/"+path, s.Status)
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no %s %q: GET /v1/hosts, /v1/status, /v1/clients and /v1/why, POST /v1/drain and POST /v1/undrain are",
			clean(r.Method, 20), clean(r.URL.Path, 100)))
	})
	wait := cmp.Or(s.patience, patience)
	return httpserver.Server{
		Handler: guard(mux), Connections: maxConnections, Header: maxHeader, Arrival: wait, Answer: 3 * wait,
		Connected: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}.Serve(ctx, ln)
}

// guard turns away what no program of an operator sends. No browser reaches a Unix socket, but somebody may put a proxy in front
// of it, and then a web page could have a host drained. Other ways to write a path are not taken for it, or led to it.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Referer") != "":
			refuse(w, http.StatusForbidden, errors.New("a web page asks for this: the socket is for programs of those who may use it"))
		case r.URL.Path != path.Clean(r.URL.Path):
			refuse(w, http.StatusNotFound, fmt.Errorf("there is no path %q", clean(r.URL.Path, 100)))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

type connKey struct{}

// who is the user at the other end, as the kernel has it; hint is who that user says to be.
func who(r *http.Request, hint string) (string, error) {
	c, ok := r.Context().Value(connKey{}).(*net.UnixConn)
	if !ok {
		return "", errors.New("who asks cannot be seen")
	}
	uid, err := peer(c)
	if err != nil {
		return "", fmt.Errorf("who asks cannot be seen: %w", err)
	}
	name := "uid " + strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		name = clean(u.Username, maxBy)
	}
	if hint = clean(hint, maxBy); hint != "" && hint != name {
		name += " (" + hint + ")"
	}
	return name, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(body) // who has hung up needs no answer
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, Problem{Version, err.Error()})
}

// hosts is GET /v1/hosts.
func (s *Server) hosts(w http.ResponseWriter, _ *http.Request) {
	out := Hosts{Version: Version, Pools: []Pool{}}
	present := make(map[string]bool)
	for _, p := range engine.Pools(s.Engine) {
		shown := Pool{Name: p.Name, Condition: p.Snapshot().Condition.String(), Hosts: []Host{}}
		for _, h := range p.Hosts() {
			present[h.Endpoint()] = true
			shown.Hosts = append(shown.Hosts, show(h))
		}
		out.Pools = append(out.Pools, shown)
	}
	k := s.kept()
	drains, err := engine.LoadDrains(k.store)
	if err = errors.Join(k.broken, err); err != nil {
		out.Note = err.Error()
	}
	maps.Copy(drains, engine.Drained(s.Engine)) // without a store, the pools alone know of them
	for endpoint, d := range drains {
		if !present[endpoint] {
			out.Absent = append(out.Absent, Drained{endpoint, Drainage(d)})
		}
	}
	slices.SortFunc(out.Absent, func(a, b Drained) int { return a.At.Compare(b.At) })
	answer(w, http.StatusOK, out)
}

func show(h pool.Status) Host {
	out := Host{
		Endpoint: h.Endpoint(), State: h.State.String(), Since: h.Since, Priority: h.Priority, Weight: h.Weight,
		Addresses: []string{}, Announced: h.Announced, Probed: h.Last.Start, RTT: h.Last.RTT.Seconds(),
	}
	for _, a := range h.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	switch {
	case h.Reason != nil:
		out.Error = h.Reason.Error()
	case h.Unresolved != nil:
		out.Error = h.Unresolved.Error()
	}
	if h.Drainage != nil {
		d := Drainage(*h.Drainage)
		out.Drained = &d
	}
	return out
}

// decide reads a request, has it done and answers.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, do func(Request, string) (Decision, error)) {
	var in Request
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields() // what is not understood may have been meant
	err := d.Decode(&in)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("more than one value")
		}
	}
	if err != nil {
		status := http.StatusBadRequest
		if tooMuch := new(http.MaxBytesError); errors.As(err, &tooMuch) {
			status, err = http.StatusRequestEntityTooLarge, fmt.Errorf("more than %d octets", maxBody)
		}
		refuse(w, status, fmt.Errorf(`the request is not as it should be, {"host": "kms1.example.org", "why": "..."}: %w`, err))
		return
	}
	by, err := who(r, in.By)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	out, err := do(in, by)
	if err == nil {
		answer(w, http.StatusOK, out)
		return
	}
	status := http.StatusBadRequest
	if unknown := new(unknownError); errors.As(err, &unknown) {
		status = http.StatusNotFound
	} else if several := new(ambiguousError); errors.As(err, &several) {
		status = http.StatusConflict
	}
	refuse(w, status, err)
}
