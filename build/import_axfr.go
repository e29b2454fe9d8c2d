package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// patience is how long a server may take to connect, and for each message.
const patience = 10 * time.Second

// transfer reads a zone from a running server (AXFR, RFC 5936). key signs if it has a name.
func (z *zoneContents) transfer(ctx context.Context, server, zone string, key tsigKey) error {
	z.source = fmt.Sprintf("a transfer of %s from %s", zone, server)
	// A reply that does not accept the key carries no signature that could be verified, and a transfer stops at that without
	// saying what the server said. A question before it can.
	if err := tryKey(ctx, server, zone, key); err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", server)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	t := dns.Transfer{Conn: &dns.Conn{Conn: conn}, ReadTimeout: patience, WriteTimeout: patience}
	q := new(dns.Msg)
	q.SetAxfr(zone)
	key.sign(q)
	if key.name != "" {
		t.TsigSecret = key.secrets()
	}
	envelopes, err := t.In(q, server)
	if err != nil {
		conn.Close()
		return err
	}
	for e := range envelopes { // to the end, or the goroutine behind it stays
		if err == nil {
			err = e.Error
		}
		for _, rr := range e.RR {
			if err == nil {
				err = z.add(rr)
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		return nil
	}
	var rcode int
	if _, scanErr := fmt.Sscanf(err.Error(), "dns: bad xfr rcode: %d", &rcode); scanErr == nil {
		return fmt.Errorf("%s answers %s to a transfer of %s: %s", server, dns.RcodeToString[rcode], zone, transferHint(rcode))
	}
	return fmt.Errorf("transfer of %s from %s: %w", zone, server, err)
}

func transferHint(rcode int) string {
	switch rcode {
	case dns.RcodeRefused:
		return "it must allow that to this machine or key, in BIND with allow-transfer"
	case dns.RcodeNotAuth:
		return "it does not have that zone"
	}
	return "its log may say why"
}

// tryKey asks for the zone's SOA record and says what is wrong with the key, or that there is no server. What the server
// thinks of the question is not its business.
func tryKey(ctx context.Context, server, zone string, key tsigKey) error {
	q := new(dns.Msg)
	q.SetQuestion(zone, dns.TypeSOA)
	key.sign(q)
	c := dns.Client{Net: "tcp", Timeout: patience, TsigSecret: key.secrets()}
	reply, _, err := c.ExchangeContext(ctx, q, server)
	if reply == nil {
		return fmt.Errorf("asking %s for %s SOA: %w", server, zone, err)
	}
	t := reply.IsTsig()
	switch {
	case key.name == "":
		return nil
	case t == nil:
		return fmt.Errorf("%s does not sign its reply: it does not know TSIG, or not the key %s", server, key.name)
	case t.Error == dns.RcodeBadKey:
		return fmt.Errorf("%s does not know the key %s with %s (BADKEY)", server, key.name, key.algorithm)
	case t.Error == dns.RcodeBadSig, errors.Is(err, dns.ErrSig):
		return fmt.Errorf("%s has another secret for the key %s (BADSIG)", server, key.name)
	case t.Error == dns.RcodeBadTime:
		return fmt.Errorf("the clocks of %s and of this machine are more than %d s apart (BADTIME)", server, t.Fudge)
	case err != nil:
		return fmt.Errorf("the signature of %s with the key %s: %w", server, key.name, err)
	}
	return nil
}
