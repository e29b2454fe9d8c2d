package kmswire

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestInterfaceOnTheWire compares the interface with the octets that clients
// send.
func TestInterfaceOnTheWire(t *testing.T) {
	want, _ := hex.DecodeString("7521c8514e845047b0d8ec255555bc06")
	if got := Interface.UUID[:]; !bytes.Equal(got, want) {
		t.Errorf("UUID on the wire = %x, want %x", got, want)
	}
	if got, want := Interface.String(), "51c82175-844e-4750-b0d8-ec255555bc06 v1.0"; got != want {
		t.Errorf("Interface = %s, want %s", got, want)
	}
}

// TestNumbers pins the numbers that firewalls and SRV records also contain.
func TestNumbers(t *testing.T) {
	if OpRequestActivation != 0 || Port != 1688 {
		t.Errorf("operation %d on port %d, want 0 on 1688", OpRequestActivation, Port)
	}
}
