// Package httpserver answers HTTP requests at a listener until it is told to end, within bounds that whoever connects cannot
// exceed. What is asked and answered is the affair of its handler.
package httpserver

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"sync"
	"time"
)

// farewell is how long requests that are under way at the end have to be answered.
const farewell = 2 * time.Second

// Server is who answers, and how much of it those who connect may use up. All but Connected must be there; nothing may be
// changed once it serves.
type Server struct {
	Handler     http.Handler
	Connections int           // at once; more wait
	Header      int           // octets of a request before its body
	Arrival     time.Duration // for a request to arrive whole, and for another one to come after it
	Answer      time.Duration // from the end of a request's header to the end of its answer

	// Connected, which may be nil, makes the context of the requests that come by a connection, as the listener gave it.
	Connected func(context.Context, net.Conn) context.Context
}

// Serve answers at ln until ctx is done, and then closes ln, and returns when the requests under way are answered or their
// time is up. It is an error if ln ends before ctx.
func (s Server) Serve(ctx context.Context, ln net.Listener) error {
	h := &http.Server{
		Handler: s.Handler, ReadHeaderTimeout: s.Arrival, ReadTimeout: s.Arrival, WriteTimeout: s.Answer, IdleTimeout: s.Arrival,
		MaxHeaderBytes: s.Header,
		ErrorLog:       stdlog.New(io.Discard, "", 0), // a client that hangs up is no news
	}
	if s.Connected != nil {
		h.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return s.Connected(ctx, c.(*conn).Conn) }
	}
	var ending sync.WaitGroup
	defer ending.Wait()
	served, cancel := context.WithCancel(ctx)
	defer cancel()
	ending.Go(func() {
		<-served.Done()
		within, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		if h.Shutdown(within) != nil {
			h.Close()
		}
	})
	if err := h.Serve(bound(ln, s.Connections)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
