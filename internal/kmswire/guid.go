package kmswire

import "github.com/coredns-kms/coredns-kms/internal/dcerpc"

// GUID is a GUID as Windows sends it, the first three fields little-endian: the
// same octets and the same text as those of an RPC UUID.
type GUID = dcerpc.UUID

// ParseGUID reads the usual text, 36 characters in either case.
func ParseGUID(text string) (GUID, error) { return dcerpc.ParseUUID(text) }

// MustGUID is ParseGUID for constants: it panics on an error.
func MustGUID(text string) GUID { return dcerpc.MustUUID(text) }

// The applications whose clients a KMS host counts, each on its own.
var (
	Windows    = MustGUID("55c92734-d682-4d71-983e-d6ec3f16059f")
	Office2010 = MustGUID("59a52881-a989-479d-af46-f275c6370663")
	Office     = MustGUID("0ff1ce15-a989-479d-af46-f275c6370663") // 2013 and later
)
