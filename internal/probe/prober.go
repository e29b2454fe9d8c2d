package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// Gate bounds how many probes are under way at once, over everything that shares it. A nil Gate bounds nothing.
type Gate chan struct{}

// InFlight is how many connections a process has open for probing at the most.
const InFlight = 32

// Prober asks hosts. Its fields stay as they are while it is used; any number of goroutines may use it at once.
type Prober struct {
	Kind    config.ProbeKind
	Timeout time.Duration // for one address, from connect to the last octet; waiting at the Gate does not count
	Gate    Gate
}

// Probe asks the host at addresses, all at once, and passes with the first that passes; otherwise it returns the failure
// that got furthest. It returns within Timeout of being let through the gate, or when ctx is done (Outcome Local).
func (p Prober) Probe(ctx context.Context, addresses []netip.Addr, port uint16) Result {
	start := time.Now()
	if len(addresses) == 0 {
		return Result{Outcome: Unresolved, Stage: Resolve, Err: errors.New("no address is known"), Start: start}
	}
	if len(addresses) == 1 {
		return p.ask(ctx, netip.AddrPortFrom(addresses[0], port))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan Result, len(addresses))
	for _, a := range addresses {
		go func() { results <- p.ask(ctx, netip.AddrPortFrom(a, port)) }()
	}
	var decided Result
	for i := range addresses {
		// Every goroutine is waited for; the first pass makes the others return at once.
		if r := <-results; i == 0 || r.tellsMoreThan(decided) {
			decided = r
		}
		if decided.Outcome == Passed {
			cancel()
		}
	}
	return decided
}

// tellsMoreThan says which of two addresses speaks for the host: one that passed, then one that gave a verdict (an address of
// a family that this machine has not gives none), then the one that got further.
func (r Result) tellsMoreThan(other Result) bool {
	switch {
	case r.Outcome == Passed || other.Outcome == Passed:
		return other.Outcome != Passed
	case r.Outcome.Verdict() != other.Outcome.Verdict():
		return r.Outcome.Verdict()
	}
	return r.Stage > other.Stage
}

// ask asks one address.
func (p Prober) ask(ctx context.Context, to netip.AddrPort) Result {
	r := Result{Stage: Connect, Address: to, Start: time.Now()}
	if p.Gate != nil {
		select {
		case p.Gate <- struct{}{}:
			defer func() { <-p.Gate }()
		case <-ctx.Done():
			r.Outcome, r.Err = Local, fmt.Errorf("stopped while waiting to ask: %w", ctx.Err())
			return r
		}
		r.Start = time.Now()
	}
	within, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()

	err := p.converse(within, to, &r)
	r.RTT = time.Since(r.Start)
	if err != nil {
		r.Outcome, r.Err = p.classify(err, r)
		if ctx.Err() != nil && r.Outcome != Rejected && r.Outcome != Garbled {
			r.Outcome, r.Err = Local, fmt.Errorf("stopped while asking: %w", ctx.Err())
		}
	}
	return r
}

// converse connects and, for the rpc kind, binds. It leaves in r how far it got.
func (p Prober) converse(ctx context.Context, to netip.AddrPort, r *Result) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if p.Kind == config.ProbeTCP {
		return nil
	}
	r.Stage = Bind
	// Cancelling must end a read that waits; the deadline alone would let it wait on.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return bind(conn, r)
}

// callID is the one call of a probe's connection; Windows clients begin with 2.
const callID = 2

// bind offers what a 64-bit Windows client offers, so that a host is judged by what its clients will see: the KMS interface
// over NDR32 and NDR64, and bind-time feature negotiation. Any accepted syntax passes.
func bind(conn net.Conn, r *Result) error {
	offer := dcerpc.Bind{MaxXmit: dcerpc.DefaultMaxFrag, MaxRecv: dcerpc.DefaultMaxFrag, Contexts: []dcerpc.Context{
		{ID: 0, Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{dcerpc.NDR32}},
		{ID: 1, Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{dcerpc.NDR64}},
		{ID: 2, Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{dcerpc.FeatureNegotiation(
			dcerpc.SecurityContextMultiplexing | dcerpc.KeepConnectionOnOrphan)}},
	}}
	if _, err := conn.Write(offer.Append(nil, dcerpc.TypeBind, dcerpc.FlagFirst|dcerpc.FlagLast, callID)); err != nil {
		return err
	}
	pdu, err := dcerpc.NewReader(conn, dcerpc.DefaultMaxFrag).Next()
	if err != nil {
		return err
	}
	if pdu.Header.CallID != callID {
		return garbled{fmt.Errorf("%s for call %d, asked was call %d", pdu.Header.Type, pdu.Header.CallID, callID)}
	}
	switch pdu.Header.Type {
	case dcerpc.TypeBindAck:
		return judge(pdu, len(offer.Contexts), r)
	case dcerpc.TypeBindNak:
		nak, err := dcerpc.ParseBindNak(pdu)
		if err != nil {
			return garbled{err}
		}
		return rejected{fmt.Errorf("bind_nak: %s", nak.Reason)}
	case dcerpc.TypeFault:
		fault, err := dcerpc.ParseFault(pdu)
		if err != nil {
			return garbled{err}
		}
		return rejected{fmt.Errorf("fault: %s", fault.Status)}
	default:
		return garbled{fmt.Errorf("a bind was answered with a %s", pdu.Header.Type)}
	}
}

// judge reads a bind_ack: one accepted transfer syntax among those offered is enough.
func judge(pdu dcerpc.PDU, offered int, r *Result) error {
	ack, err := dcerpc.ParseBindAck(pdu)
	if err != nil {
		return garbled{err}
	}
	if len(ack.Results) != offered {
		return garbled{fmt.Errorf("bind_ack with %d results for %d contexts", len(ack.Results), offered)}
	}
	i, ok := ack.Accepted()
	if !ok {
		return rejected{errors.New("bind_ack without the KMS interface: another RPC service listens here, or the KMS host service is not running")}
	}
	switch ack.Results[i].Transfer {
	case dcerpc.NDR32:
		r.Syntax = "NDR32"
	case dcerpc.NDR64:
		r.Syntax = "NDR64"
	default:
		return garbled{fmt.Errorf("bind_ack accepts the transfer syntax %s, which was not offered", ack.Results[i].Transfer.UUID)}
	}
	return nil
}

// rejected and garbled mark what the far end said, for classify.
type (
	rejected struct{ error }
	garbled  struct{ error }
)

// classify gives err its one word and says what it suggests. It is the only place that does.
func (p Prober) classify(err error, r Result) (Outcome, error) {
	var (
		no      rejected
		garbage garbled
		timeout net.Error
	)
	switch {
	case errors.As(err, &no):
		return Rejected, no.error
	case errors.As(err, &garbage):
		return Garbled, fmt.Errorf("not an answer to a DCE/RPC bind: %w", garbage.error)
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused, fmt.Errorf("connection to %s refused: nothing listens there, or a firewall rejects it", r.Address)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN),
		errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return Unreachable, fmt.Errorf("%s cannot be reached: %w", r.Address, cause(err))
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS),
		errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EADDRNOTAVAIL):
		return Local, fmt.Errorf("this machine could not ask: %w", cause(err))
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		if r.Stage == Connect {
			return Timeout, fmt.Errorf("no connection to %s within %s: host off, or a firewall drops it", r.Address, p.Timeout)
		}
		return Timeout, fmt.Errorf("%s took the connection and did not answer the bind within %s: hung, or not a KMS host", r.Address, p.Timeout)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Garbled, fmt.Errorf("%s closed the connection in the middle of its answer", r.Address)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Closed, fmt.Errorf("%s closed the connection before it answered", r.Address)
	case r.Stage == Bind:
		// What is left are the framing errors of the reader.
		return Garbled, fmt.Errorf("not an answer to a DCE/RPC bind: %w", err)
	}
	return Unreachable, fmt.Errorf("%s cannot be reached: %w", r.Address, cause(err))
}

// cause drops the "dial tcp ..." wrapping, which only repeats the address.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
