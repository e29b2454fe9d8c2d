package kmswire

import (
	"encoding/binary"
	"fmt"
)

const (
	responseV4Fixed = 60  // octets of a version 4 response without the host id
	maxHostID       = 128 // octets of the host id, NUL included
)

// ResponseV4 is a version 4 response, all of which is in the clear but for its
// trailer.
type ResponseV4 struct {
	HostID     string   // what the host calls itself; at most 63 UTF-16 units are sent
	CMID       GUID     // as in the request
	ClientTime Filetime // as in the request
	Count      uint32   // the clients of that application that the host knows

	// The intervals are in minutes, and the client takes them over.
	ActivationInterval uint32 // until a client that was not activated tries again
	RenewalInterval    uint32 // until one that was renews

	Trailer [TrailerLen]byte // opaque
}

// ParseResponseV4 reads a version 4 response. Octets after the trailer are
// ignored. The error wraps ErrTruncated, ErrVersion, ErrTooLong or ErrLength.
func ParseResponseV4(message []byte) (ResponseV4, error) {
	if err := wantV4(message); err != nil {
		return ResponseV4{}, err
	}
	if len(message) < responseV4Fixed {
		return ResponseV4{}, fmt.Errorf("kmswire: response of %d octets: %w", len(message), ErrTruncated)
	}
	le := binary.LittleEndian
	n := le.Uint32(message[4:])
	switch {
	case n > maxHostID:
		return ResponseV4{}, fmt.Errorf("kmswire: host id of %d octets: %w", n, ErrTooLong)
	case n%2 != 0:
		return ResponseV4{}, fmt.Errorf("kmswire: host id of %d octets: %w", n, ErrLength)
	case len(message) < responseV4Fixed+int(n):
		return ResponseV4{}, fmt.Errorf("kmswire: host id of %d octets in a response of %d: %w", n, len(message), ErrTruncated)
	}
	src := message[8+n:]
	return ResponseV4{
		HostID:             readText(message[8 : 8+n]),
		CMID:               GUID(src[:16]),
		ClientTime:         Filetime(le.Uint64(src[16:])),
		Count:              le.Uint32(src[24:]),
		ActivationInterval: le.Uint32(src[28:]),
		RenewalInterval:    le.Uint32(src[32:]),
		Trailer:            [TrailerLen]byte(src[36 : 36+TrailerLen]),
	}, nil
}

// Append appends r. A host id of more than 63 UTF-16 units is cut.
func (r ResponseV4) Append(dst []byte) []byte {
	start, le := len(dst), binary.LittleEndian
	dst = V4.Append(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = appendText(dst, r.HostID, maxHostID-2)
	dst = append(dst, 0, 0)
	le.PutUint32(dst[start+4:], uint32(len(dst)-start-8))
	dst = append(dst, r.CMID[:]...)
	dst = le.AppendUint64(dst, uint64(r.ClientTime))
	dst = le.AppendUint32(dst, r.Count)
	dst = le.AppendUint32(dst, r.ActivationInterval)
	dst = le.AppendUint32(dst, r.RenewalInterval)
	return append(dst, r.Trailer[:]...)
}
