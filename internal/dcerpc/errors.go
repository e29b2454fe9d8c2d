package dcerpc

import "errors"

// What can be wrong with received octets. Every error of a parser, of Reader
// and of Assembler wraps exactly one of these (or an error of the underlying
// reader); none of them can be repaired by reading on, so the connection is to
// be closed, after an answer where the protocol has one.
var (
	// ErrVersion: the PDU is not of RPC version 5.0 or 5.1. A server answers a
	// bind with BindNak and NakProtocolVersion.
	ErrVersion = errors.New("RPC version is not 5.0 or 5.1")

	// ErrRepresentation: the sender's data representation is not
	// little-endian, ASCII, IEEE.
	ErrRepresentation = errors.New("data representation is not little-endian, ASCII, IEEE")

	// ErrLength: frag_length or auth_length contradicts itself or the octets
	// that are there.
	ErrLength = errors.New("PDU lengths contradict each other")

	// ErrTooLong: a length within the protocol's limits but beyond ours.
	ErrTooLong = errors.New("longer than the local limit")

	// ErrTruncated: the PDU ends before what its own counts announce.
	ErrTruncated = errors.New("PDU ends before its contents do")

	// ErrTooMany: a count within the protocol's limits but beyond MaxContexts
	// or MaxTransfers.
	ErrTooMany = errors.New("more elements than the local limit")

	// ErrType: the PDU is not of a type that the parser reads.
	ErrType = errors.New("not a PDU of the expected type")

	// ErrSequence: a fragment that does not continue the call being
	// assembled.
	ErrSequence = errors.New("fragment out of sequence")

	// ErrUUID: text that is not a UUID in its usual form.
	ErrUUID = errors.New("not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
)
