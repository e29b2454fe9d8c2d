package kms

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/coredns/coredns/request"

	dnsface "github.com/coredns-kms/coredns-kms/plugin"

	"github.com/miekg/dns"
)

// blind are the plugins that may stand in front of kms and do not care what a reply is made of: as of CoreDNS v1.15.0 each
// passes on the question and the writer that it was given, but for prometheus, whose writer counts octets.
var blind = []string{"metadata", "cancel", "bufsize", "prometheus", "errors", "acl", "any", "local", "loop"}

// direct is whether replies may be written as octets as far as plugins go: not if one of those in front of kms, so many as front
// says, works on their records.
func direct(c *dnsserver.Config, front int) bool {
	handlers := c.Handlers() // those whose name is a directive, each name once
	return len(handlers) > front && handlers[front].Name() == dnsface.Name &&
		!slices.ContainsFunc(handlers[:front], func(h plugin.Handler) bool { return !slices.Contains(blind, h.Name()) })
}

// straight is whether octets written to w go to a client over UDP, TCP or TLS, the way that a message goes. Else they go past a
// plugin that asks the server itself (package upstream, for the target of a CNAME), to whose client they would be one reply too
// many; through one that makes a message of them again (DNS over HTTPS, gRPC); out on a stream that only a message ends (QUIC);
// or past what holds up replies of this listener (shed). One server block may have all of these.
func straight(w dns.ResponseWriter) bool {
	for {
		switch outer := w.(type) {
		case *request.ScrubWriter:
			w = outer.ResponseWriter
			continue
		case *metrics.Recorder:
			w = outer.ResponseWriter
			continue
		}
		v := reflect.ValueOf(w)
		if v.Type() != passing {
			return v.Type().String() == "*dns.response" && undecorated(v.Elem())
		}
		w = v.Elem().Field(0).Interface().(dns.ResponseWriter)
	}
}

// passing is the type of the writer that CoreDNS puts between each two plugins.
var passing = func() (t reflect.Type) {
	next := plugin.HandlerFunc(func(_ context.Context, w dns.ResponseWriter, _ *dns.Msg) (int, error) {
		t = reflect.TypeOf(w)
		return dns.RcodeSuccess, nil
	})
	plugin.NextOrFailure(dnsface.Name, next, context.Background(), nil, nil)
	return t
}()

// undecorated is whether a writer of the dns library's own server sends messages itself: its field "writer" is what a server with
// DecorateWriter has put in its place. TestDirect notices if the library ever calls it otherwise, and nothing is direct then.
func undecorated(response reflect.Value) bool {
	writerField.Do(func() {
		if f, ok := response.Type().FieldByName("writer"); ok && f.Type.Kind() == reflect.Interface {
			writerField.index = f.Index[0]
		} else {
			writerField.index = -1
		}
	})
	if writerField.index < 0 {
		return false
	}
	writer := response.Field(writerField.index).Elem()
	return writer.Kind() == reflect.Pointer && writer.Pointer() == response.Addr().Pointer()
}

// writerField is where that field is, since to find it costs more than all else.
var writerField struct {
	sync.Once
	index int // -1: there is none
}
