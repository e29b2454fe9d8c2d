package pcap

import "testing"

// TestChecksum has the example of RFC 1071 section 3, and an odd octet.
func TestChecksum(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := checksum(b); got != ^uint16(0xddf2) {
		t.Errorf("checksum %#04x, want %#04x", got, ^uint16(0xddf2))
	}
	if got := checksum([]byte{0x12}); got != ^uint16(0x1200) {
		t.Errorf("checksum of one octet %#04x, want %#04x", got, ^uint16(0x1200))
	}
}
