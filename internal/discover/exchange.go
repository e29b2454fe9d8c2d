package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
	"unicode"

	"github.com/miekg/dns"
)

// defaultPatience is how long a server may take for one datagram; it is sent a second time.
const defaultPatience = 2 * time.Second

// udpSize is what we offer to take by UDP: what reaches everybody unfragmented.
const udpSize = 1232

// errTruncated is of an answer that does not fit into UDP, where TCP fails.
var errTruncated = errors.New("truncated, and not to be had by TCP")

// Exchange asks server, address and port, by UDP, a second time if nothing comes, and by TCP if the answer does not fit. The
// answer is a message with any rcode.
func Exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	r := exchange(ctx, server, question(name, qtype, true), defaultPatience)
	return r.msg, r.err
}

// question asks for name; recurse says whether the server may ask others.
func question(name string, qtype uint16, recurse bool) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	m.RecursionDesired = recurse
	m.SetEdns0(udpSize, false)
	return m
}

// reply is what came of one question.
type reply struct {
	msg *dns.Msg // nil if err is not
	rtt time.Duration
	tcp bool
	err error
}

func exchange(ctx context.Context, server string, m *dns.Msg, patience time.Duration) reply {
	var r reply
	client := dns.Client{Net: "udp", Timeout: patience, UDPSize: udpSize}
	for range 2 {
		if r.msg, r.rtt, r.err = client.ExchangeContext(ctx, m, server); !timedOut(r.err) || ctx.Err() != nil {
			break
		}
	}
	if r.err == nil && r.msg.Truncated {
		client.Net, r.tcp = "tcp", true
		if r.msg, r.rtt, r.err = client.ExchangeContext(ctx, m, server); r.err != nil && ctx.Err() == nil {
			r.err = fmt.Errorf("%w: %w", errTruncated, r.err)
		}
	}
	if r.err != nil {
		r.msg = nil
	}
	return r
}

func timedOut(err error) bool {
	timeout := net.Error(nil)
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err,
		&timeout) && timeout.Timeout()
}

// outcome is what came of it in one word, and whether only this machine is to blame.
func (r reply) outcome(ctx context.Context) (word string, local bool) {
	switch {
	case r.err == nil:
		return rcode(r.msg), false
	case ctx.Err() != nil:
		return "TIMEOUT", true
	case errors.Is(r.err, errTruncated):
		return "TRUNCATED", false
	case timedOut(r.err):
		return "TIMEOUT", false
	case errors.Is(r.err, syscall.ENETUNREACH), errors.Is(r.err, syscall.EPERM), errors.Is(r.err, syscall.EACCES), errors.Is(r.err,
		syscall.EADDRNOTAVAIL),
		errors.Is(r.err, syscall.EMFILE):
		return "UNREACHABLE", true
	case errors.Is(r.err, syscall.ECONNREFUSED), errors.Is(r.err, syscall.EHOSTUNREACH):
		return "UNREACHABLE", false
	}
	return "GARBLED", false
}

// why is the failure in words.
func (r reply) why(server string) string {
	switch {
	case r.err == nil:
		return ""
	case errors.Is(r.err, errTruncated):
		return fmt.Sprintf("the answer of %s does not fit into UDP, and TCP port 53 is not to be had: %s", server, reason(r.err))
	case timedOut(r.err):
		return server + " does not answer"
	case errors.Is(r.err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens at %s", server)
	}
	return fmt.Sprintf("%s: %s", server, reason(r.err))
}

// reason is the innermost error that says something.
func reason(err error) string {
	switch {
	case timedOut(err):
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return harmless(op.Err.Error())
	}
	return harmless(err.Error())
}

func rcode(m *dns.Msg) string {
	if word, ok := dns.RcodeToString[m.Rcode]; ok {
		return word
	}
	return "RCODE" + strconv.Itoa(m.Rcode)
}

// extended is the Extended DNS Errors (RFC 8914) of m, at most 4, in words.
func extended(m *dns.Msg) []string {
	all := []string{}
	opt := m.IsEdns0()
	if opt == nil {
		return all
	}
	for _, o := range opt.Option {
		e, ok := o.(*dns.EDNS0_EDE)
		if !ok || len(all) == 4 {
			continue
		}
		text := dns.ExtendedErrorCodeToString[e.InfoCode]
		if text == "" {
			text = "Extended DNS Error"
		}
		text += fmt.Sprintf(" (%d)", e.InfoCode)
		switch {
		case e.ExtraText != "" && e.InfoCode == dns.ExtendedErrorCodeOther:
			text = harmless(e.ExtraText) // "Other" says nothing
		case e.ExtraText != "":
			text += ": " + harmless(e.ExtraText)
		}
		all = append(all, text)
	}
	return all
}

// maxHarmless bounds text from others, in octets before anything is escaped.
const maxHarmless = 200

// harmless is text from others as a terminal and a page may have it.
func harmless(s string) string {
	if len(s) > maxHarmless {
		s = s[:maxHarmless] + "..."
	}
	var b []byte
	for _, r := range s {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b = append(b, string(r)...)
		} else {
			quoted := strconv.QuoteToASCII(string(r))
			b = append(b, quoted[1:len(quoted)-1]...)
		}
	}
	return string(b)
}
