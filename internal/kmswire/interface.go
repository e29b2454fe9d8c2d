// Package kmswire knows what is in the clear on the wire between a volume
// licence client and a KMS host: the identity of the RPC interface, how its one
// operation carries a message in each direction, the fields of version 4
// messages, which Microsoft published, and the version in front of all others.
//
// It must not know any secret of the protocol, nor how its messages are
// protected: a trailer is sixteen octets, and all of a version 5 or 6 message
// after its version is opaque. It must not know who the hosts are, or how they
// are found.
//
// Everything received is hostile until checked: lengths are compared before a
// slice is taken, and no parser panics. Everything sent is appended to a slice
// that the caller owns.
package kmswire

import "github.com/coredns-kms/coredns-kms/internal/dcerpc"

// Interface is the RPC interface of a KMS host, version 1.0. It is spoken over
// TCP, on a fixed port, without authentication.
var Interface = dcerpc.Syntax{
	UUID:    dcerpc.MustUUID("51c82175-844e-4750-b0d8-ec255555bc06"),
	Version: 1,
}

// OpRequestActivation is the number of the interface's only operation.
const OpRequestActivation = 0

// Port is the TCP port of a KMS host unless its administrator set another.
const Port = 1688
