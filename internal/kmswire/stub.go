package kmswire

import (
	"encoding/binary"
	"fmt"
)

// MaxMessage is the largest message, in octets, that is taken out of a stub.
// Requests have 252 or 260; of responses the longest that is known of has less
// than 400.
const MaxMessage = 1024

// referent stands in a response for the pointer to its message. Any value but 0
// would do; this is the one that Windows sends.
const referent = 0x00020000

// The operation is, in IDL,
//
//	int RequestActivation([in] int requestSize,
//	    [in, size_is(requestSize)] unsigned char *request,
//	    [out] int *responseSize,
//	    [out, size_is(, *responseSize)] unsigned char **response)
//
// and its parameters are marshalled by C706 chapter 14, or by NDR64 ([MS-RPCE]
// 2.2.5): there, counts and pointers take eight octets and are aligned to them.
// A size is an int in both; the four octets after it in NDR64 are padding, and
// may hold anything.

// AppendRequestStub appends the stub of a request that carries message.
func AppendRequestStub(dst, message []byte, ndr64 bool) []byte {
	dst = appendSize(dst, len(message), ndr64)
	dst = appendWide(dst, uint32(len(message)), ndr64)
	return append(dst, message...)
}

// ParseRequestStub returns the message that the stub of a request carries, as a
// part of stub. Octets after it are ignored. The error wraps ErrTruncated,
// ErrLength or ErrTooLong.
func ParseRequestStub(stub []byte, ndr64 bool) (message []byte, err error) {
	size, src, err := readSize(stub, ndr64)
	if err == nil {
		message, _, err = readArray(src, size, ndr64)
	}
	if err != nil {
		return nil, fmt.Errorf("kmswire: request stub of %d octets: %w", len(stub), err)
	}
	return message, nil
}

// AppendResponseStub appends the stub of a response that carries message and
// the outcome hr. Without a message, which is how errors are answered, the
// pointer to it is null.
func AppendResponseStub(dst, message []byte, hr HRESULT, ndr64 bool) []byte {
	start := len(dst)
	dst = appendSize(dst, len(message), ndr64)
	if len(message) == 0 {
		dst = appendWide(dst, 0, ndr64)
	} else {
		dst = appendWide(dst, referent, ndr64)
		dst = appendWide(dst, uint32(len(message)), ndr64)
		dst = append(dst, message...)
	}
	for (len(dst)-start)%4 != 0 {
		dst = append(dst, 0)
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(hr))
}

// ParseResponseStub returns the message that the stub of a response carries, as
// a part of stub, and the outcome. The message is nil if the pointer to it is
// null, whatever the outcome. Octets after the outcome are ignored. The error
// wraps ErrTruncated, ErrLength or ErrTooLong.
func ParseResponseStub(stub []byte, ndr64 bool) (message []byte, hr HRESULT, err error) {
	message, hr, err = parseResponse(stub, ndr64)
	if err != nil {
		return nil, 0, fmt.Errorf("kmswire: response stub of %d octets: %w", len(stub), err)
	}
	return message, hr, nil
}

func parseResponse(stub []byte, ndr64 bool) (message []byte, hr HRESULT, err error) {
	size, src, err := readSize(stub, ndr64)
	if err != nil {
		return nil, 0, err
	}
	pointer, src, err := readWide(src, ndr64)
	switch {
	case err != nil:
		return nil, 0, err
	case pointer != 0:
		if message, src, err = readArray(src, size, ndr64); err != nil {
			return nil, 0, err
		}
	case size != 0:
		return nil, 0, fmt.Errorf("%d octets behind a null pointer: %w", size, ErrLength)
	}
	// Everything before the message is a multiple of 4 in both encodings.
	pad := -len(message) & 3
	if len(src) < pad+4 {
		return nil, 0, ErrTruncated
	}
	return message, HRESULT(binary.LittleEndian.Uint32(src[pad:])), nil
}

// appendSize appends an int that is followed by something wide.
func appendSize(dst []byte, n int, ndr64 bool) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	if ndr64 {
		dst = append(dst, 0, 0, 0, 0)
	}
	return dst
}

// appendWide appends a count or a pointer.
func appendWide(dst []byte, v uint32, ndr64 bool) []byte {
	if ndr64 {
		return binary.LittleEndian.AppendUint64(dst, uint64(v))
	}
	return binary.LittleEndian.AppendUint32(dst, v)
}

// readSize reads what appendSize wrote and returns the rest of src.
func readSize(src []byte, ndr64 bool) (size uint32, rest []byte, err error) {
	n := wideLen(ndr64)
	if len(src) < n {
		return 0, nil, ErrTruncated
	}
	return binary.LittleEndian.Uint32(src), src[n:], nil
}

// readWide reads what appendWide wrote and returns the rest of src.
func readWide(src []byte, ndr64 bool) (v uint64, rest []byte, err error) {
	n := wideLen(ndr64)
	switch {
	case len(src) < n:
		return 0, nil, ErrTruncated
	case ndr64:
		return binary.LittleEndian.Uint64(src), src[n:], nil
	}
	return uint64(binary.LittleEndian.Uint32(src)), src[n:], nil
}

// readArray reads a count, which must be size, and as many octets. It returns
// them and the rest of src.
func readArray(src []byte, size uint32, ndr64 bool) (array, rest []byte, err error) {
	count, src, err := readWide(src, ndr64)
	switch {
	case err != nil:
		return nil, nil, err
	case count != uint64(size):
		return nil, nil, fmt.Errorf("size %d, count %d: %w", size, count, ErrLength)
	case size > MaxMessage:
		return nil, nil, fmt.Errorf("message of %d octets: %w", size, ErrTooLong)
	case int(size) > len(src):
		return nil, nil, fmt.Errorf("message of %d octets in %d: %w", size, len(src), ErrTruncated)
	}
	return src[:size:size], src[size:], nil
}

// wideLen is the size in octets of a count, of a pointer, and of a size with
// its padding.
func wideLen(ndr64 bool) int {
	if ndr64 {
		return 8
	}
	return 4
}
