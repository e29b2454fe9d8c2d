// Package kmswire knows what is in the clear on the wire between a volume
// licence client and a KMS host. For now that is the identity of the RPC
// interface.
//
// It must not know any secret of the protocol, nor how its messages are
// protected; and not who the hosts are, or how they are found.
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
