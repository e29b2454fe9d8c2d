package kmsresponder

import (
	"fmt"
	"net"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// requestLine has the fields of event 12290, which a KMS host writes for every
// request, in their order: outcome, threshold, name of the machine, CMID, time
// of the client, virtual machine or not, licence status, minutes until it ends,
// activation id. Then it says who asked, which the event does not have.
func requestLine(from net.Addr, hr kmswire.HRESULT, q kmswire.RequestV4) string {
	return fmt.Sprintf("0x%08X, %d, %s, %v, %s, %d, %d, %d, %v from %s",
		uint32(hr), q.Required, kmswire.Printable(q.MachineName), q.CMID,
		q.ClientTime.Time().Format("2006/01/02 15:04"),
		q.ClientVM, q.LicenseStatus, q.Expiration, q.ActID, from)
}

// foreignLine is the line of a message with nothing in it that could be
// believed.
func foreignLine(from net.Addr, v kmswire.Version, err error) string {
	return fmt.Sprintf("0x%08X, -, -, -, -, -, -, -, - from %s, version %v: %v",
		uint32(kmswire.InvalidData), from, v, err)
}
