package kmswire

import (
	"encoding/binary"
	"fmt"
)

// Sizes in octets of a version 4 request and of parts that all version 4
// messages have.
const (
	RequestV4Len = 252
	TrailerLen   = 16

	machineNameLen = 128 // UTF-16, so at most 64 units, the last one usually NUL
)

// RequestV4 is a version 4 request, all of which is in the clear but for its
// trailer. The fields and their order are those of Microsoft's "Volume
// Activation 2.0 Operations Guide" of March 2008.
type RequestV4 struct {
	ClientVM      uint32 // 1 = the client says that it is a virtual machine
	LicenseStatus uint32 // see LicenseStatusWord
	Expiration    uint32 // minutes left in the current licence status
	AppID         GUID   // the application: each is counted on its own
	ActID         GUID   // the exact edition
	KMSID         GUID   // the group of products, on which a host decides
	CMID          GUID   // the client machine
	Required      uint32 // the count that the client needs to be activated (N-policy)
	ClientTime    Filetime
	PreviousCMID  GUID // usually zero

	// MachineName is whatever the client says it is called; Printable makes it
	// fit for a log. It may be invalid UTF-8, where the client's text was
	// invalid UTF-16.
	MachineName string

	Trailer [TrailerLen]byte // opaque
}

// ParseRequestV4 reads a version 4 request. Octets after the trailer are
// ignored. The error wraps ErrTruncated or ErrVersion.
func ParseRequestV4(message []byte) (RequestV4, error) {
	if err := wantV4(message); err != nil {
		return RequestV4{}, err
	}
	if len(message) < RequestV4Len {
		return RequestV4{}, fmt.Errorf("kmswire: request of %d octets: %w", len(message), ErrTruncated)
	}
	le := binary.LittleEndian
	return RequestV4{
		ClientVM:      le.Uint32(message[4:]),
		LicenseStatus: le.Uint32(message[8:]),
		Expiration:    le.Uint32(message[12:]),
		AppID:         GUID(message[16:32]),
		ActID:         GUID(message[32:48]),
		KMSID:         GUID(message[48:64]),
		CMID:          GUID(message[64:80]),
		Required:      le.Uint32(message[80:]),
		ClientTime:    Filetime(le.Uint64(message[84:])),
		PreviousCMID:  GUID(message[92:108]),
		MachineName:   readText(message[108 : 108+machineNameLen]),
		Trailer:       [TrailerLen]byte(message[236:RequestV4Len]),
	}, nil
}

// Append appends r, RequestV4Len octets. A name of more than 64 UTF-16 units is
// cut.
func (r RequestV4) Append(dst []byte) []byte {
	start, le := len(dst), binary.LittleEndian
	dst = V4.Append(dst)
	dst = le.AppendUint32(dst, r.ClientVM)
	dst = le.AppendUint32(dst, r.LicenseStatus)
	dst = le.AppendUint32(dst, r.Expiration)
	dst = append(dst, r.AppID[:]...)
	dst = append(dst, r.ActID[:]...)
	dst = append(dst, r.KMSID[:]...)
	dst = append(dst, r.CMID[:]...)
	dst = le.AppendUint32(dst, r.Required)
	dst = le.AppendUint64(dst, uint64(r.ClientTime))
	dst = append(dst, r.PreviousCMID[:]...)
	dst = appendText(dst, r.MachineName, machineNameLen)
	dst = append(dst, make([]byte, start+RequestV4Len-TrailerLen-len(dst))...)
	return append(dst, r.Trailer[:]...)
}

// LicenseStatusWord says what a RequestV4.LicenseStatus means.
func LicenseStatusWord(status uint32) string {
	words := [...]string{"unlicensed", "licensed", "out-of-box grace", "out-of-tolerance grace",
		"non-genuine grace", "notification", "extended grace"}
	if status < uint32(len(words)) {
		return words[status]
	}
	return fmt.Sprintf("status %d", status)
}
