//go:build !linux

package kmsresponder

import (
	"context"
	"net"
)

// attend carries on with the clients of ln.
func (g *Gateway) attend(ctx, working context.Context, ln net.Listener) error {
	return g.attendEach(ctx, working, ln)
}
