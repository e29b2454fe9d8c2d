package kms

import (
	"context"
	"reflect"
	"sync"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/coredns/coredns/request"

	dnsface "github.com/coredns-kms/coredns-kms/plugin"

	"github.com/miekg/dns"
)

// straight is whether octets written to w go to a client over UDP, TCP or TLS, the way that a message goes: whether w is the
// server's own, and around it are only the writers of CoreDNS, which add what the octets have already, and of prometheus, which
// counts octets too. Else they go past a plugin in front that works on the records of a reply, or keeps it: it puts a writer of its
// own in between, if need be for some questions only, as rewrite and tsig do; past one that asks the server itself (package
// upstream, for the target of a CNAME), to whose client they would be one reply too many; through one that makes a message of them
// again (DNS over HTTPS, gRPC); out on a stream that only a message ends (QUIC); or past what holds up replies of this listener
// (shed). One server block may have all of these.
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
