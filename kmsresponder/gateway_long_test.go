//go:build interop

package kmsresponder

import "testing"

// TestGatewayLongChaos: a hundred thousand calls, and none is lost.
func TestGatewayLongChaos(t *testing.T) { chaos(t, 100_000) }

// TestGatewayManyIdleConnections: ten thousand of them.
func TestGatewayManyIdleConnections(t *testing.T) { idle(t, 10_000) }
