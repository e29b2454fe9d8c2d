package main

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// zone is a DNS server that answers SRV for _vlmcs._tcp.example.org with the host at endpoint, by a name whose address it
// tells only when asked. It truncates what comes by UDP, so that the client has to come back.
func zone(t *testing.T, endpoint string) string {
	t.Helper()
	_, text, err := net.SplitHostPort(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(r)
		q := r.Question[0]
		hdr := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 5}
		_, udp := w.RemoteAddr().(*net.UDPAddr)
		switch {
		case q.Name == "_vlmcs._tcp.example.org." && q.Qtype == dns.TypeSRV && udp:
			m.Truncated = true
		case q.Name == "_vlmcs._tcp.example.org." && q.Qtype == dns.TypeSRV:
			m.Answer = []dns.RR{&dns.SRV{Hdr: hdr, Port: uint16(port), Target: "KMS1.example.org."}}
		case strings.EqualFold(q.Name, "kms1.example.org.") && q.Qtype == dns.TypeA:
			m.Answer = []dns.RR{&dns.A{Hdr: hdr, A: net.IPv4(127, 0, 0, 1)}}
		case q.Name == "_vlmcs._tcp.drained.example.":
		case q.Name == "_vlmcs._tcp.broken.example.":
			m.Rcode = dns.RcodeServerFailure
		default:
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
	return serveDNS(t, h)
}

// serveDNS answers by UDP and TCP with h until the test ends, and returns where.
func serveDNS(t *testing.T, h dns.Handler) string {
	t.Helper()
	var packets net.PacketConn
	var listener net.Listener
	var err error
	for range 20 { // one port for both, which another program may have by one of them
		if packets, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if listener, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			break
		}
		packets.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: h}, {Listener: listener, Handler: h}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		done := make(chan error, 1)
		go func() { done <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			s.Shutdown()
			<-done
		})
	}
	return packets.LocalAddr().String()
}

func TestRehearseClients(t *testing.T) {
	server := zone(t, rehearsalHost(t))
	var stdout, stderr bytes.Buffer
	args := "-domain nothing.example.org,example.org -server " + server
	if status := kms(t, "rehearse", strings.Fields(args), &stdout, &stderr); status != 0 {
		t.Fatalf("Status %d, %s%s", status, stdout.String(), stderr.String())
	}
	for _, want := range []string{
		"round 1  REHEARSAL-0001  not yet: KMS1.example.org:", "counts 24 clients of the 25", "count 25",
		"round 1: 6 of 30 clients activated, count 30", "round 2: 30 of 30 clients activated, count 30",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("Without %q: %s", want, stdout.String())
		}
	}
	for name, tt := range map[string]struct {
		args   string
		status int
		want   string
	}{
		"too few clients":      {"-clients 20 -secret other.example -domain nothing.example.org -server " + server, 2, "0 of 20 clients activated"},
		"no such zone":         {"-clients 1 -domain nothing.example.org -server " + server, 2, "8007232B"},
		"nobody in the zone":   {"-clients 1 -domain drained.example -server " + server, 2, "8007251D"},
		"broken server":        {"-clients 1 -domain broken.example -server " + server, 2, "SERVFAIL"},
		"another secret":       {"-clients 1 -secret other -domain example.org -server " + server, 2, "answers 0x8007000D invalid data: has it another -secret"},
		"no clients":           {"-clients 0 -domain example.org", 3, "from 1 to 100000"},
		"no rounds":            {"-rounds 0 -domain example.org", 3, "from 1 to 1000"},
		"unknown protocol":     {"-protocol 7 -domain example.org", 3, "4, 5 or 6"},
		"unknown group":        {"-group gold -domain example.org", 3, "one of any, client-vl"},
		"server without sense": {"-server a.b -domain example.org", 3, "an address and a port"},
		"host and clients":     {"-listen 127.0.0.1:0 -domain example.org", 3, "not both"},
		"interval of a host":   {"-listen 127.0.0.1:0 -activation 1s", 3, "whole minutes"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := kms(t, "rehearse", strings.Fields(tt.args), &stdout, &stderr)
			if out := stdout.String() + stderr.String(); status != tt.status || !strings.Contains(strings.ToUpper(out), strings.ToUpper(tt.want)) {
				t.Errorf("Status %d, want %d and %q: %s", status, tt.status, tt.want, out)
			}
		})
	}
}

// TestRehearseServersNeedFive: a smaller threshold, for another product group and the opaque protocol.
func TestRehearseServersNeedFive(t *testing.T) {
	server := zone(t, rehearsalHost(t))
	for _, protocol := range []int{4, 6} {
		var stdout, stderr bytes.Buffer
		args := fmt.Sprintf("-group server-b -clients 5 -protocol %d -domain example.org -server %s", protocol, server)
		if status := kms(t, "rehearse", strings.Fields(args), &stdout, &stderr); status != 0 || !strings.Contains(stdout.String(), "count 5") {
			t.Errorf("Protocol %d: status %d, %s%s", protocol, status, stdout.String(), stderr.String())
		}
	}
}
