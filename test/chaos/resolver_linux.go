package main

import (
	"net"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// serve answers in n until stop is called.
func (r *resolver) serve(n *namespace) (stop func(), err error) {
	var (
		conn net.PacketConn
		ln   net.Listener
	)
	at := netip.AddrPortFrom(n.address, 53).String()
	err = n.within(func() (err error) {
		if conn, err = net.ListenPacket("udp", at); err != nil {
			return err
		}
		ln, err = net.Listen("tcp", at)
		return err
	})
	if err != nil {
		return nil, err
	}
	servers := []*dns.Server{{PacketConn: conn, Handler: r}, {Listener: ln, Handler: r}}
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() { s.ActivateAndServe() })
	}
	return func() {
		conn.Close()
		ln.Close()
		for _, s := range servers {
			s.Shutdown()
		}
		wg.Wait()
	}, nil
}
