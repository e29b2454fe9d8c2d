package dcerpc

import (
	"fmt"
	"io"
)

// Fragment sizes in octets, header included.
const (
	// MinFrag is the size that every peer must be able to receive
	// (C706 12.6.3.1, MustRecvFragSize).
	MinFrag = 1432

	// DefaultMaxFrag is what Windows proposes and accepts over TCP.
	DefaultMaxFrag = 5840
)

// firstBuffer holds any bind and any request of the services meant here, so
// that most connections never grow it.
const firstBuffer = 512

// Reader splits a byte stream into PDUs. It reads ahead, so the stream belongs
// to it once Next was called. It needs one buffer, of 512 octets until a longer
// PDU comes and never above the maximum, whatever the peer announces.
type Reader struct {
	src io.Reader
	max int

	// buf[start:end] is what was read and not yet handed out.
	buf        []byte
	start, end int
}

// NewReader returns a Reader that refuses PDUs of more than max octets, header
// included. A max of 0 means DefaultMaxFrag; any other is raised to HeaderLen
// if it is less.
func NewReader(r io.Reader, max int) *Reader {
	if max == 0 {
		max = DefaultMaxFrag
	}
	if max < HeaderLen {
		max = HeaderLen
	}
	return &Reader{src: r, max: max, buf: make([]byte, min(max, firstBuffer))}
}

// Reset makes r read another stream from its beginning, as a new Reader would,
// with the buffer that it has.
func (r *Reader) Reset(src io.Reader) { r.src, r.start, r.end = src, 0, 0 }

// Buffered is how many octets were read and not yet handed out.
func (r *Reader) Buffered() int { return r.end - r.start }

// Next returns the next PDU. Its Body holds FragLength - HeaderLen octets and
// is valid until the next call.
//
// The error is io.EOF itself if the stream ended between two PDUs, one that
// wraps io.ErrUnexpectedEOF if it ended inside one, an error of ParseHeader, one
// that wraps ErrTooLong if the PDU is longer than the maximum, or the stream's
// own. With ErrVersion and ErrTooLong the PDU's Header is returned as far as it
// is known. Errors about the contents are final: the same one is returned
// again. After a deadline of the stream has passed, Next may be called again
// and continues where it stopped.
func (r *Reader) Next() (PDU, error) {
	if err := r.fill(HeaderLen); err != nil {
		return PDU{}, err
	}
	h, err := ParseHeader(r.buf[r.start:r.end])
	if err != nil {
		return PDU{Header: h}, err
	}
	n := int(h.FragLength)
	if n > r.max {
		return PDU{Header: h}, fmt.Errorf("dcerpc: %v of %d octets where %d are allowed: %w",
			h.Type, n, r.max, ErrTooLong)
	}
	if err := r.fill(n); err != nil {
		return PDU{}, err
	}
	// The capacity ends with the PDU: appending to Body must not overwrite the
	// next one.
	body := r.buf[r.start+HeaderLen : r.start+n : r.start+n]
	r.start += n
	return PDU{Header: h, Body: body}, nil
}

// fill reads until at least n octets are there to be handed out; n is at most
// r.max.
func (r *Reader) fill(n int) error {
	have := r.end - r.start
	if have >= n {
		return nil
	}
	r.makeRoom(n)
	got, err := io.ReadAtLeast(r.src, r.buf[r.end:], n-have)
	r.end += got
	if err == io.EOF && have == 0 {
		return io.EOF
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("dcerpc: stream ended %d octets into a PDU: %w",
			r.end-r.start, io.ErrUnexpectedEOF)
	}
	return err
}

// makeRoom moves what was not handed out to the front, into a larger buffer if
// n octets do not fit.
func (r *Reader) makeRoom(n int) {
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
	if r.start+n <= len(r.buf) {
		return
	}
	to := r.buf
	if n > len(to) {
		to = make([]byte, min(r.max, max(n, 2*len(to))))
	}
	r.end = copy(to, r.buf[r.start:r.end])
	r.start, r.buf = 0, to
}
