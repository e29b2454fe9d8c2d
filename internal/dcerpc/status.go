package dcerpc

import "fmt"

// Status is the status of a fault: one of the nca_ codes of C706 appendix E or
// a Win32 error code, as Windows servers also send them.
type Status uint32

// The statuses that matter to a caller of one anonymous interface.
const (
	StatusAccessDenied  Status = 0x00000005 // ERROR_ACCESS_DENIED
	StatusBadStubData   Status = 0x000006f7 // RPC_X_BAD_STUB_DATA
	StatusOpRange       Status = 0x1c010002 // nca_op_rng_error
	StatusUnknownIf     Status = 0x1c010003 // nca_unk_if
	StatusProtoError    Status = 0x1c01000b // nca_proto_error
	StatusServerTooBusy Status = 0x1c010014 // nca_server_too_busy
)

// String returns the status in hexadecimal and, if it is known, its name and
// what it means.
func (s Status) String() string {
	switch s {
	case StatusAccessDenied:
		return "0x00000005 access denied"
	case StatusBadStubData:
		return "0x000006F7 bad stub data"
	case StatusOpRange:
		return "0x1C010002 nca_op_rng_error: no such operation"
	case StatusUnknownIf:
		return "0x1C010003 nca_unk_if: unknown interface"
	case StatusProtoError:
		return "0x1C01000B nca_proto_error: protocol error"
	case StatusServerTooBusy:
		return "0x1C010014 nca_server_too_busy: server too busy"
	}
	return fmt.Sprintf("0x%08X", uint32(s))
}
