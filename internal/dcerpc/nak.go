package dcerpc

import (
	"encoding/binary"
	"fmt"
)

// NakReason says why a server refused a whole bind (C706 12.6.4.5,
// [MS-RPCE] 2.2.2.5).
type NakReason uint16

// The reasons.
const (
	NakNotSpecified        NakReason = 0
	NakTemporaryCongestion NakReason = 1 // to be treated as NakLocalLimit
	NakLocalLimit          NakReason = 2
	NakProtocolVersion     NakReason = 4
	NakAuthType            NakReason = 8
	NakInvalidChecksum     NakReason = 9
)

// String describes the reason in words.
func (r NakReason) String() string {
	switch r {
	case NakNotSpecified:
		return "reason not specified"
	case NakTemporaryCongestion:
		return "temporary congestion"
	case NakLocalLimit:
		return "local limit exceeded"
	case NakProtocolVersion:
		return "protocol version not supported"
	case NakAuthType:
		return "authentication type not recognized"
	case NakInvalidChecksum:
		return "invalid checksum"
	}
	return fmt.Sprintf("reason %d", uint16(r))
}

// BindNak is the contents of bind_nak. Versions are the (major, minor) pairs
// that the server speaks, of interest with NakProtocolVersion.
type BindNak struct {
	Reason   NakReason
	Versions [][2]uint8
}

// Append appends n as a PDU of type t, which is TypeBindNak, and returns the
// extended slice. It panics if n has more than 255 versions.
func (n BindNak) Append(dst []byte, t PacketType, flags Flags, callID uint32) []byte {
	start := len(dst)
	dst = begin(dst, t, flags, callID)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(n.Reason))
	dst = append(dst, count8(len(n.Versions)))
	for _, v := range n.Versions {
		dst = append(dst, v[0], v[1])
	}
	return finish(dst, start)
}

// ParseBindNak reads a bind_nak. The result shares no memory with p. The
// version list may be missing, as it means nothing with most reasons, and
// octets after it are ignored: Windows puts extended error information there
// ([MS-RPCE] 2.2.2.9). The error wraps ErrType, ErrLength or ErrTruncated.
func ParseBindNak(p PDU) (BindNak, error) {
	src, err := p.contents(TypeBindNak)
	if err != nil {
		return BindNak{}, err
	}
	if len(src) < 2 {
		return BindNak{}, fmt.Errorf("dcerpc: bind_nak of %d octets: %w", len(src), ErrTruncated)
	}
	n := BindNak{Reason: NakReason(binary.LittleEndian.Uint16(src))}
	if len(src) == 2 {
		return n, nil
	}
	count := int(src[2])
	src = src[3:]
	if len(src) < 2*count {
		return BindNak{}, fmt.Errorf("dcerpc: %d versions in %d octets: %w", count, len(src), ErrTruncated)
	}
	for i := range count {
		n.Versions = append(n.Versions, [2]uint8{src[2*i], src[2*i+1]})
	}
	return n, nil
}
