package kmsresponder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// Attempt is how one attempt of a client to be activated went.
type Attempt struct {
	Began time.Time
	Took  time.Duration

	// Verdict is the client's: OK if it is activated; NotEnoughCount if a host
	// answered with a count below Threshold; NoSuffix, NoRecord or NoData if there
	// was no host to ask, NoHost if none of those asked could be used.
	Verdict kmswire.HRESULT

	Host   string // "target:port" of the host that answered, empty if none did
	HostID string // what that host calls itself
	Cached bool   // it was asked because it had activated the client before

	Count, Threshold uint32 // what the host said, and what the client needs

	Tries []Try // every host asked, in order, the one that answered last
	Err   error // of discovery, nil if that did not fail

	Next          time.Duration // until the client tries again or renews
	LicensedUntil time.Time     // zero if it was never activated
}

// Activated reports whether the attempt ended with an activation.
func (a Attempt) Activated() bool { return a.Verdict == kmswire.OK }

// Try is how one host answered. With neither HRESULT nor Err, it answered well.
type Try struct {
	Host    string // "target:port"
	HRESULT kmswire.HRESULT
	Err     error // why there is no HRESULT to be had, or none to be believed
	Took    time.Duration
}

// errEcho: an answer, well sealed, to somebody else's request, or to another of
// ours.
var errEcho = errors.New("answer to another request")

// contact asks hosts until one answers, and leaves in a how that went.
func (c *RehearsalClient) contact(ctx context.Context, a *Attempt) {
	failed := ""
	if c.Cached != nil {
		if c.ask(ctx, a, *c.Cached) {
			a.Cached = true
			return
		}
		failed, c.Cached = c.Cached.Endpoint(), nil
	}
	hosts, verdict, err := c.discover(ctx)
	a.Verdict, a.Err = verdict, err
	if verdict != kmswire.OK {
		if failed != "" {
			a.Verdict = kmswire.NoHost // one was asked
		}
		return
	}
	hosts = slices.DeleteFunc(hosts, func(s SRV) bool { return s.Endpoint() == failed })
	for len(hosts) > 0 && ctx.Err() == nil {
		i := c.choose(hosts)
		if c.ask(ctx, a, hosts[i]) {
			return
		}
		hosts = slices.Delete(hosts, i, i+1)
	}
	a.Verdict = kmswire.NoHost
}

// ask asks one host, and reports whether it answered well. It leaves in a what
// was said.
func (c *RehearsalClient) ask(ctx context.Context, a *Attempt, host SRV) bool {
	began := c.now()
	r, hr, err := c.exchange(ctx, host, c.newRequest())
	a.Tries = append(a.Tries, Try{Host: host.Endpoint(), HRESULT: hr, Err: err, Took: c.now().Sub(began)})
	if err != nil || hr != kmswire.OK {
		return false
	}
	a.Host, a.HostID, a.Count = host.Endpoint(), r.HostID, r.Count
	// The host's intervals take the place of the client's own, also if it was
	// not activated. None may make it ask without end.
	c.Activation = max(time.Duration(r.ActivationInterval)*time.Minute, time.Minute)
	c.Renewal = max(time.Duration(r.RenewalInterval)*time.Minute, time.Minute)
	a.Verdict = kmswire.NotEnoughCount
	if r.Count >= a.Threshold {
		a.Verdict = kmswire.OK
		if !c.NoCache {
			c.Cached = &host
		}
	}
	return true
}

// exchange is one connection: connect, bind, one request, close. An outcome
// other than OK comes without an answer, and without an error.
func (c *RehearsalClient) exchange(ctx context.Context, host SRV, q kmswire.RequestV4) (kmswire.ResponseV4, kmswire.HRESULT, error) {
	if c.Exchange != nil {
		return c.Exchange(ctx, host, q)
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultClientTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := c.connect(ctx, host)
	if err != nil {
		return kmswire.ResponseV4{}, 0, err
	}
	defer conn.Close()
	// The context ends whatever waits for the connection, by its deadline too.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	s, err := openSession(conn)
	if err != nil {
		return kmswire.ResponseV4{}, 0, err
	}
	secret := newSealer(c.Secret)
	message, hr, err := s.request(secret.request(c.version(), q))
	if err != nil || hr != kmswire.OK {
		return kmswire.ResponseV4{}, hr, err
	}
	r, v, err := secret.openResponse(message)
	switch {
	case err != nil:
		err = fmt.Errorf("answer not to be believed: %w", err)
	case v != c.version() || r.CMID != q.CMID || r.ClientTime != q.ClientTime:
		err = errEcho
	}
	return r, kmswire.OK, err
}

// connect connects to the first address of host that lets it, and gives each of
// them an equal share of the time that is left.
func (c *RehearsalClient) connect(ctx context.Context, host SRV) (conn net.Conn, err error) {
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	deadline, _ := ctx.Deadline()
	endpoints := host.endpoints()
	for i, address := range endpoints {
		share := time.Until(deadline) / time.Duration(len(endpoints)-i)
		within, cancel := context.WithTimeout(ctx, share)
		conn, err = dial(within, "tcp", address)
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}
