package kmsresponder

import (
	"fmt"
	"net"
	"strconv"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// requestLine has the fields of event 12290, which a KMS host writes for every
// request, in their order: outcome, threshold, name of the machine, CMID, time
// of the client, virtual machine or not, licence status, minutes until it ends,
// activation id. Then it says who asked, which the event does not have.
func requestLine(from net.Addr, hr kmswire.HRESULT, q kmswire.RequestV4) string {
	return string(append(appendRequest(nil, hr, &q), from.String()...))
}

// appendRequest appends requestLine but for who asked. It stands in the way of
// every call through a gateway, and is therefore written without fmt.
func appendRequest(b []byte, hr kmswire.HRESULT, q *kmswire.RequestV4) []byte {
	b = append(appendHRESULT(b, hr), ", "...)
	b = append(strconv.AppendUint(b, uint64(q.Required), 10), ", "...)
	b = append(append(b, kmswire.Printable(q.MachineName)...), ", "...)
	b = append(append(b, q.CMID.String()...), ", "...)
	b = append(q.ClientTime.Time().AppendFormat(b, "2006/01/02 15:04"), ", "...)
	for _, n := range []uint32{q.ClientVM, q.LicenseStatus, q.Expiration} {
		b = append(strconv.AppendUint(b, uint64(n), 10), ", "...)
	}
	return append(append(b, q.ActID.String()...), " from "...)
}

// appendHRESULT appends hr as Windows writes it: 0xC004F042.
func appendHRESULT(b []byte, hr kmswire.HRESULT) []byte {
	const digits = "0123456789ABCDEF"
	b = append(b, "0x"...)
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[hr>>shift&0xF])
	}
	return b
}

// foreignLine is the line of a message with nothing in it that could be
// believed.
func foreignLine(from net.Addr, v kmswire.Version, err error) string {
	return fmt.Sprintf("0x%08X, -, -, -, -, -, -, -, - from %s, version %v: %v",
		uint32(kmswire.InvalidData), from, v, err)
}
