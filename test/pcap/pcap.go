// Package pcap writes down what was said over TCP as a packet capture, and has
// Wireshark's dissectors read it. It is for the tests of several packages.
//
// It knows nothing of what is said.
package pcap

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Port is the server's, in every conversation.
const Port = 1688

// Capture is a packet capture in pcap format, of TCP conversations between one
// client and one server, over IPv4 without a link layer. Every segment comes a
// hundredth of a second after the last. Several goroutines may write to it, and
// none while it is read.
type Capture struct {
	mu    sync.Mutex
	file  []byte
	ticks uint32
}

const linkTypeRaw = 101 // packets begin with the IP header

// New returns an empty capture.
func New() *Capture {
	file := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	file = binary.LittleEndian.AppendUint16(file, 2)
	file = binary.LittleEndian.AppendUint16(file, 4)
	file = append(file, make([]byte, 8)...) // time zone, accuracy
	file = binary.LittleEndian.AppendUint32(file, 65535)
	file = binary.LittleEndian.AppendUint32(file, linkTypeRaw)
	return &Capture{file: file}
}

// Stream is one TCP conversation of a capture.
type Stream struct {
	to   *Capture
	port uint16    // the client's
	next [2]uint32 // sequence numbers; 0 is the client, 1 the server
}

const (
	fin = 0x01
	syn = 0x02
	psh = 0x08
	ack = 0x10
)

// Open begins a conversation of the client's port with its handshake.
func (c *Capture) Open(port uint16) *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Stream{to: c, port: port, next: [2]uint32{1000, 2000}}
	s.segment(0, syn, nil)
	s.segment(1, syn|ack, nil)
	s.segment(0, ack, nil)
	return s
}

// Send adds octets, from the client or the server, as one segment.
func (s *Stream) Send(fromServer bool, octets []byte) {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	from := 0
	if fromServer {
		from = 1
	}
	s.segment(from, psh|ack, octets)
	s.segment(1-from, ack, nil)
}

// Close ends a conversation from both sides.
func (s *Stream) Close() {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	s.segment(0, fin|ack, nil)
	s.segment(1, fin|ack, nil)
	s.segment(0, ack, nil)
}

func (s *Stream) segment(from int, flags byte, octets []byte) {
	addr := [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	port := [2]uint16{s.port, Port}

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

func (c *Capture) add(packet []byte) {
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

// Read has tshark read c as DCE/RPC and returns its lines: those that args ask
// for. TCP checksums and sequence numbers are checked too, so that a fault of the
// capture is not taken for one of what was said. Without tshark the test fails.
func (c *Capture) Read(t testing.TB, args ...string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture.pcap")
	if err := os.WriteFile(path, c.file, 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-n", "-r", path, "-d", "tcp.port==1688,dcerpc",
		"-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"}, args...)
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), "tshark", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark, which this test needs: %v\n%s", err, stderr.String())
	}
	if len(out) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// Complaints returns what Wireshark finds malformed or worth a warning or an
// error, in any layer; one line for each packet.
func (c *Capture) Complaints(t testing.TB) []string {
	t.Helper()
	return c.Read(t, "-Y", "_ws.malformed || _ws.expert.severity >= 0x600000", "-T", "fields", "-e", "_ws.expert.message")
}
