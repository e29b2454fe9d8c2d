package kmswire

import (
	"encoding/binary"
	"fmt"
)

// versionLen is the size in octets of a version, with which every message
// begins.
const versionLen = 4

// Version is the protocol version of a message.
type Version struct{ Major, Minor uint16 }

// The versions there are. Version 4 is that of Windows Vista, 7 and Server 2008
// and 2008 R2, 5 that of Windows 8 and Server 2012, 6 that of everything since.
var (
	V4 = Version{Major: 4}
	V5 = Version{Major: 5}
	V6 = Version{Major: 6}
)

// String returns "4.0" and the like.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Known reports whether v is one of V4, V5 and V6.
func (v Version) Known() bool { return v == V4 || v == V5 || v == V6 }

// ParseVersion reads the version of a message, request or response, and nothing
// after it. Any version is returned, not only known ones. The error wraps
// ErrTruncated.
func ParseVersion(message []byte) (Version, error) {
	if len(message) < versionLen {
		return Version{}, fmt.Errorf("kmswire: version in %d octets: %w", len(message), ErrTruncated)
	}
	return Version{
		Major: binary.LittleEndian.Uint16(message[2:]),
		Minor: binary.LittleEndian.Uint16(message),
	}, nil
}

// Append appends v as a message begins with it: the minor version first.
func (v Version) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, v.Minor)
	return binary.LittleEndian.AppendUint16(dst, v.Major)
}

// wantV4 returns an error that wraps ErrTruncated or ErrVersion unless message
// begins with version 4.0.
func wantV4(message []byte) error {
	v, err := ParseVersion(message)
	if err == nil && v != V4 {
		err = fmt.Errorf("kmswire: version %v: %w", v, ErrVersion)
	}
	return err
}
