//go:build interop

package dcerpc

import (
	"encoding/binary"
	"net/netip"
)

// capture builds a packet capture in pcap format, of TCP conversations between
// one client and one server on port 1688, over IPv4 without a link layer. Every
// PDU travels in a segment of its own, a hundredth of a second after the last.
type capture struct {
	file  []byte
	ticks uint32
}

const linkTypeRaw = 101 // packets begin with the IP header

func newCapture() *capture {
	file := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	file = binary.LittleEndian.AppendUint16(file, 2)
	file = binary.LittleEndian.AppendUint16(file, 4)
	file = append(file, make([]byte, 8)...) // time zone, accuracy
	file = binary.LittleEndian.AppendUint32(file, 65535)
	file = binary.LittleEndian.AppendUint32(file, linkTypeRaw)
	return &capture{file: file}
}

// stream is one TCP conversation of a capture. Index 0 is the client, 1 the
// server.
type stream struct {
	to   *capture
	port uint16 // the client's
	next [2]uint32
}

const (
	fin = 0x01
	syn = 0x02
	psh = 0x08
	ack = 0x10
)

// open begins a conversation with its handshake.
func (c *capture) open(port uint16) *stream {
	s := &stream{to: c, port: port, next: [2]uint32{1000, 2000}}
	s.segment(0, syn, nil)
	s.segment(1, syn|ack, nil)
	s.segment(0, ack, nil)
	return s
}

// send adds octets, from the client or the server.
func (s *stream) send(fromServer bool, octets []byte) {
	from := 0
	if fromServer {
		from = 1
	}
	s.segment(from, psh|ack, octets)
	s.segment(1-from, ack, nil)
}

// close ends a conversation from both sides.
func (s *stream) close() {
	s.segment(0, fin|ack, nil)
	s.segment(1, fin|ack, nil)
	s.segment(0, ack, nil)
}

func (s *stream) segment(from int, flags byte, octets []byte) {
	addr := [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	port := [2]uint16{s.port, 1688}

	packet := []byte{0x45, 0}
	packet = binary.BigEndian.AppendUint16(packet, uint16(40+len(octets)))
	packet = append(packet, 0, 0, 0x40, 0, 64, 6, 0, 0) // do not fragment, TTL 64, TCP, checksum
	packet = append(packet, addr[from].AsSlice()...)
	packet = append(packet, addr[1-from].AsSlice()...)
	binary.BigEndian.PutUint16(packet[10:], checksum(packet))

	tcp := binary.BigEndian.AppendUint16(nil, port[from])
	tcp = binary.BigEndian.AppendUint16(tcp, port[1-from])
	tcp = binary.BigEndian.AppendUint32(tcp, s.next[from])
	acknowledged := s.next[1-from]
	if flags&ack == 0 {
		acknowledged = 0
	}
	tcp = binary.BigEndian.AppendUint32(tcp, acknowledged)
	tcp = append(tcp, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	tcp = append(tcp, octets...)
	pseudo := append(append([]byte(nil), packet[12:20]...), 0, 6, byte(len(tcp)>>8), byte(len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))

	s.next[from] += uint32(len(octets))
	if flags&(syn|fin) != 0 {
		s.next[from]++
	}
	s.to.add(append(packet, tcp...))
}

func (c *capture) add(packet []byte) {
	c.ticks++
	c.file = binary.LittleEndian.AppendUint32(c.file, c.ticks/100)
	c.file = binary.LittleEndian.AppendUint32(c.file, c.ticks%100*10_000)
	c.file = binary.LittleEndian.AppendUint32(c.file, uint32(len(packet)))
	c.file = binary.LittleEndian.AppendUint32(c.file, uint32(len(packet)))
	c.file = append(c.file, packet...)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for i, v := range b {
		sum += uint32(v) << (8 * (1 - i%2))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
