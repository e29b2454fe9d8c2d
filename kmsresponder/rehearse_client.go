package kmsresponder

import (
	"cmp"
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"net"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

const (
	// LicenseValidity is how long an activation lasts that is not renewed.
	LicenseValidity = 180 * 24 * time.Hour

	// gracePeriod is how long a product runs before its first activation.
	gracePeriod = 30 * 24 * time.Hour

	// DefaultClientTimeout is how long one host may take, from connect to
	// answer, before the client takes it for silent. It is longer than what a
	// gateway may need to find a live host.
	DefaultClientTimeout = 15 * time.Second
)

// RehearsalClient does what a volume licence client on Windows does, except to
// be licensed: it looks for KMS hosts in DNS, asks them, and keeps asking for as
// long as it lives. It talks only to rehearsal hosts that have its secret.
//
// Discover and Suffixes are required, the rest has defaults. The fields must not
// change after the first use. It is for one goroutine at a time.
type RehearsalClient struct {
	Name string       // of the machine
	CMID kmswire.GUID // of the machine, made of Name if zero
	VM   bool         // say that it is a virtual machine; hosts count it all the same

	App     kmswire.GUID    // kmswire.Windows if zero
	Group   config.Key      // the products it is one of, client-vl if Any
	Version kmswire.Version // of the protocol, kmswire.V4 if zero
	Secret  []byte          // of the site, DefaultSecret if empty

	// Suffixes are the DNS suffixes under which hosts are looked for, in order:
	// of those of the first suffix that has any, one is chosen.
	Suffixes []string

	// Discover returns the SRV records of an absolute name. It returns none,
	// and no error, for a name that does not exist, and may return ErrNoData for
	// one that exists without any.
	Discover func(ctx context.Context, name string) ([]SRV, error)

	// AnyOrder has hosts chosen at random, as Windows Vista and Server 2008 do.
	// Otherwise priority and weight count (RFC 2782).
	AnyOrder bool

	// NoCache has hosts looked for each time. Otherwise the host that activated
	// the client is asked first the next time, and DNS only when it fails.
	NoCache bool

	ClockError time.Duration // how far the client's clock is ahead
	Timeout    time.Duration // for one host, DefaultClientTimeout if 0
	Rand       *rand.Rand    // for choices, a random one if nil

	// Dial connects, as net.Dialer.DialContext does, which is used if it is nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Exchange, if not nil, has a host answer a request in place of a connection,
	// and Now, if not nil, tells the time in place of time.Now: for those who
	// have a network and a time of their own.
	Exchange func(ctx context.Context, host SRV, q kmswire.RequestV4) (kmswire.ResponseV4, kmswire.HRESULT, error)
	Now      func() time.Time

	Learned
}

// Learned is what a client has learned, and starts its next attempt from. The
// zero value is of one that was just installed.
type Learned struct {
	Installed           time.Time     // when the first attempt was made
	Licensed            time.Time     // until when; zero before the first activation
	Cached              *SRV          // the host that activated it, nil if none is to be asked first; not to be changed
	Activation, Renewal time.Duration // as the last host said, 0 before
}

// Threshold returns the count from which on the client is activated.
func (c *RehearsalClient) Threshold() uint32 {
	if c.app() == kmswire.Windows && c.group() == config.ClientVL {
		return ClientThreshold
	}
	return ServerThreshold
}

// LicensedUntil returns when the last activation ends, or has ended. It is zero
// before the first.
func (c *RehearsalClient) LicensedUntil() time.Time { return c.Licensed }

// Run lives the life of a client until ctx is done: it activates, renews each
// renewal interval, and while that fails, tries again each activation interval.
// report is called after each attempt that came to an end.
func (c *RehearsalClient) Run(ctx context.Context, report func(Attempt)) {
	for {
		a := c.Activate(ctx)
		if ctx.Err() != nil {
			return
		}
		report(a)
		select {
		case <-ctx.Done():
			return
		case <-time.After(a.Next):
		}
	}
}

// Activate makes one attempt, which is also how to renew. It returns soon after
// ctx is done.
func (c *RehearsalClient) Activate(ctx context.Context) Attempt {
	a := Attempt{Began: c.now(), Threshold: c.Threshold()}
	if c.Installed.IsZero() {
		c.Installed = a.Began
	}
	c.contact(ctx, &a)
	if a.Activated() {
		c.Licensed = c.now().Add(LicenseValidity)
		a.Next = cmp.Or(c.Renewal, DefaultRenewalInterval)
	} else {
		a.Next = cmp.Or(c.Activation, DefaultActivationInterval)
	}
	a.LicensedUntil = c.Licensed
	a.Took = c.now().Sub(a.Began)
	return a
}

// newRequest is what the client has to say now.
func (c *RehearsalClient) newRequest() kmswire.RequestV4 {
	status, left := c.license(c.now())
	r := kmswire.RequestV4{
		LicenseStatus: status,
		Expiration:    uint32(left / time.Minute),
		AppID:         c.app(),
		ActID:         rehearsalEdition,
		KMSID:         productID(c.group()),
		CMID:          c.cmid(),
		Required:      c.Threshold(),
		ClientTime:    kmswire.FiletimeOf(c.now().Add(c.ClockError)),
		MachineName:   c.Name,
	}
	if c.VM {
		r.ClientVM = 1
	}
	return r
}

// license returns the licence status of a request and how long it will last.
func (c *RehearsalClient) license(now time.Time) (status uint32, left time.Duration) {
	const licensed, grace, notification = 1, 2, 5
	switch {
	case now.Before(c.Licensed):
		return licensed, c.Licensed.Sub(now)
	case c.Licensed.IsZero() && now.Before(c.Installed.Add(gracePeriod)):
		return grace, c.Installed.Add(gracePeriod).Sub(now)
	}
	return notification, 0
}

func (c *RehearsalClient) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *RehearsalClient) group() config.Key { return cmp.Or(c.Group, config.ClientVL) }

func (c *RehearsalClient) app() kmswire.GUID {
	if c.App == (kmswire.GUID{}) {
		return kmswire.Windows
	}
	return c.App
}

func (c *RehearsalClient) version() kmswire.Version {
	if c.Version == (kmswire.Version{}) {
		return kmswire.V4
	}
	return c.Version
}

// cmid returns the CMID, or one that no other name has.
func (c *RehearsalClient) cmid() kmswire.GUID {
	if c.CMID != (kmswire.GUID{}) {
		return c.CMID
	}
	sum := sha256.Sum256([]byte("kms rehearsal client " + c.Name))
	return kmswire.GUID(sum[:16])
}
