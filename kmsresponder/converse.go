package kmsresponder

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
)

// How a connection that we end is wound up.
const (
	lingerTime   = time.Second
	lingerOctets = 16 << 10
)

// converse carries on c over conn until one side ends it, giving every PDU
// idle to arrive and every answer write to be sent. Closing conn is left to the
// caller; ctx is for the calls, and does not end a wait for conn.
func converse(ctx context.Context, conn net.Conn, idle, write time.Duration, c *conversation) {
	d := desks.Get().(*desk)
	defer d.clear()
	in, out := d.in, d.out
	in.Reset(conn)
	for {
		conn.SetReadDeadline(time.Now().Add(idle))
		p, err := in.Next()
		if gone(err) {
			return
		}
		var more bool
		if err != nil {
			out = c.refuse(out[:0], p.Header, err)
		} else {
			out, more = c.next(ctx, out[:0], p)
		}
		if len(out) > 0 {
			conn.SetWriteDeadline(time.Now().Add(write))
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
		if !more {
			hangUp(conn)
			return
		}
	}
}

// desk is the buffers of one conversation, which the next one may have.
type desk struct {
	in  *dcerpc.Reader
	out []byte // room for nearly every answer
}

var desks = sync.Pool{New: func() any {
	return &desk{dcerpc.NewReader(nil, dcerpc.DefaultMaxFrag), make([]byte, 0, 512)}
}}

// clear puts d back. A reader that was given a long PDU has grown; where that is
// kept it stays within what one PDU may have.
func (d *desk) clear() {
	d.in.Reset(nil)
	desks.Put(d)
}

// gone reports whether err, from a dcerpc.Reader, came from the connection and
// not from what was received on it: there is nobody left to be answered.
func gone(err error) bool {
	if err == nil {
		return false // nearly always, and errors.As allocates
	}
	var network net.Error
	return err == io.EOF || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.ErrClosedPipe) || errors.As(err, &network)
}

// hangUp ends our side of conn and reads the rest of the peer's, within limits.
// To close a TCP connection with octets still unread resets it, and a reset
// makes the peer drop an answer that it had not read yet.
func hangUp(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, conn, lingerOctets)
}
