package dcerpc

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// UUID is a UUID in wire order: the first three fields little-endian, as a
// little-endian peer sends them (C706 appendix A).
type UUID [16]byte

// uuidText is, for each octet of a UUID in wire order, where its two digits
// stand in the text.
var uuidText = [16]int{6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34}

// String returns the usual text, 36 characters in lower case.
func (u UUID) String() string {
	text := []byte("00000000-0000-0000-0000-000000000000")
	for i, at := range uuidText {
		hex.Encode(text[at:at+2], u[i:i+1])
	}
	return string(text)
}

// ParseUUID reads the usual text, in either case. The error wraps ErrUUID.
func ParseUUID(text string) (UUID, error) {
	var u UUID
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return UUID{}, fmt.Errorf("dcerpc: %q: %w", text, ErrUUID)
	}
	for i, at := range uuidText {
		if _, err := hex.Decode(u[i:i+1], []byte(text[at:at+2])); err != nil {
			return UUID{}, fmt.Errorf("dcerpc: %q: %w", text, ErrUUID)
		}
	}
	return u, nil
}

// MustUUID is ParseUUID for constants: it panics on an error.
func MustUUID(text string) UUID {
	u, err := ParseUUID(text)
	if err != nil {
		panic(err)
	}
	return u
}

// syntaxLen is the size in octets of a Syntax on the wire.
const syntaxLen = 20

// Syntax names an interface (abstract syntax) or an encoding of its parameters
// (transfer syntax). The low 16 bits of Version are the major version, the high
// 16 the minor (C706 12.6.3.1, p_syntax_id_t).
type Syntax struct {
	UUID    UUID
	Version uint32
}

// The transfer syntaxes that Windows speaks.
var (
	// NDR32 is NDR version 2 (C706 14).
	NDR32 = Syntax{UUID: MustUUID("8a885d04-1ceb-11c9-9fe8-08002b104860"), Version: 2}

	// NDR64 is NDR64 version 1 ([MS-RPCE] 2.2.5).
	NDR64 = Syntax{UUID: MustUUID("71710533-beba-4937-8319-b5dbef9ccc36"), Version: 1}
)

// The bits of bind-time feature negotiation ([MS-RPCE] 2.2.2.14).
const (
	SecurityContextMultiplexing uint64 = 1
	KeepConnectionOnOrphan      uint64 = 2
)

// featurePrefix is the constant half of the pseudo transfer syntax; the other
// half is the bit mask.
var featurePrefix = [8]byte{0x2c, 0x1c, 0xb7, 0x6c, 0x12, 0x98, 0x40, 0x45}

// FeatureNegotiation returns the pseudo transfer syntax with which a client
// asks, at bind time, for the features in bits ([MS-RPCE] 2.2.2.14).
func FeatureNegotiation(bits uint64) Syntax {
	s := Syntax{Version: 1}
	copy(s.UUID[:], featurePrefix[:])
	binary.LittleEndian.PutUint64(s.UUID[8:], bits)
	return s
}

// Features returns the features that s asks for, and whether s is bind-time
// feature negotiation at all. Only the constant half of the UUID decides: a
// mask with bits yet unknown is still a mask ([MS-RPCE] 3.3.1.5.3).
func (s Syntax) Features() (bits uint64, ok bool) {
	if [8]byte(s.UUID[:8]) != featurePrefix {
		return 0, false
	}
	return binary.LittleEndian.Uint64(s.UUID[8:]), true
}

// String returns "NDR32", "NDR64", "features 0x3" or "<uuid> v<major>.<minor>".
func (s Syntax) String() string {
	switch s {
	case NDR32:
		return "NDR32"
	case NDR64:
		return "NDR64"
	}
	if bits, ok := s.Features(); ok {
		return fmt.Sprintf("features %#x", bits)
	}
	return fmt.Sprintf("%v v%d.%d", s.UUID, s.major(), s.minor())
}

func (s Syntax) major() uint16 { return uint16(s.Version) }
func (s Syntax) minor() uint16 { return uint16(s.Version >> 16) }

func appendSyntax(dst []byte, s Syntax) []byte {
	dst = append(dst, s.UUID[:]...)
	return binary.LittleEndian.AppendUint32(dst, s.Version)
}

// readSyntax reads a Syntax from the first syntaxLen octets of src, whose
// length the caller has checked.
func readSyntax(src []byte) Syntax {
	return Syntax{UUID: UUID(src[:16]), Version: binary.LittleEndian.Uint32(src[16:])}
}
