package main

import (
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// troubles are the ways of the resolver to fail.
var troubles = []string{"it answers SERVFAIL", "it does not answer", "it says that no name exists", "it refuses", "it takes three seconds"}

// A resolver is the one that the server asks for the addresses of its hosts.
type resolver struct {
	names map[string]netip.Addr

	mu      sync.Mutex
	trouble string // one of troubles; empty if there is none
	asked   int
}

func (r *resolver) fail(trouble string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = trouble
}

func (r *resolver) questions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// ServeDNS answers one question, or does not.
func (r *resolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r.mu.Lock()
	trouble := r.trouble
	r.asked++
	r.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	address, ok := r.names[dns.CanonicalName(q.Question[0].Name)]
	switch {
	case trouble == troubles[0]:
		m.Rcode = dns.RcodeServerFailure
	case trouble == troubles[1]:
		return
	case trouble == troubles[2] || trouble == "" && !ok:
		m.Rcode = dns.RcodeNameError
	case trouble == troubles[3]:
		m.Rcode = dns.RcodeRefused
	case q.Question[0].Qtype == dns.TypeA && ok:
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: address.AsSlice()}}
	}
	if trouble == troubles[4] {
		time.Sleep(3 * time.Second)
	}
	w.WriteMsg(m) // who asked may be gone
}
