package plugin

import (
	"net"
	"net/netip"
	"testing"

	"github.com/coredns/coredns/plugin/test"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

type wrapped struct{ net.Addr }

func (w wrapped) Unwrap() net.Addr { return w.Addr }

type from struct {
	test.ResponseWriter
	address net.Addr
}

func (f *from) RemoteAddr() net.Addr { return f.address }

func TestSender(t *testing.T) {
	udp := &net.UDPAddr{IP: net.ParseIP("192.0.2.9"), Port: 53}
	for name, tt := range map[string]struct {
		address net.Addr
		want    string
	}{
		"UDP":         {udp, "192.0.2.9:53"},
		"TCP":         {&net.TCPAddr{IP: net.ParseIP("2001:db8::9"), Port: 53}, "[2001:db8::9]:53"},
		"mapped":      {&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.9"), Port: 53}, "192.0.2.9:53"},
		"with a zone": {&net.UDPAddr{IP: net.ParseIP("fe80::9"), Port: 53, Zone: "eth0"}, "[fe80::9]:53"},
		"by a proxy":  {wrapped{udp}, "192.0.2.9:53"},
		"of no kind":  {&net.UnixAddr{Name: "/run/x"}, "invalid AddrPort"},
	} {
		if got := sender(&from{address: tt.address}); got.String() != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

func TestIdentify(t *testing.T) {
	// That a sender without an address is nobody's is not for the policy table, which needs one.
	u := settings()
	u.Allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	if _, why := identify(&u, netip.Addr{}, ""); why == "" {
		t.Error("A sender without an address may announce")
	}
	if who, why := identify(&u, netip.Addr{}, "any."); why != "" || who.owner != "key any." {
		t.Errorf("Got %+v, %q for a key without an address", who, why)
	}
	if _, why := identify(&config.Update{}, netip.MustParseAddr("192.0.2.9"), ""); why == "" {
		t.Error("Somebody may announce where nobody is allowed")
	}
}
