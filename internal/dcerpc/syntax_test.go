package dcerpc

import (
	"encoding/hex"
	"errors"
	"testing"
)

func TestUUIDText(t *testing.T) {
	const text = "00112233-4455-6677-8899-aabbccddeeff"
	u, err := ParseUUID(text)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(u[:]), "33221100"+"5544"+"7766"+"8899aabbccddeeff"; got != want {
		t.Errorf("on the wire %s, want %s", got, want)
	}
	if got := u.String(); got != text {
		t.Errorf("String = %s, want %s", got, text)
	}
	upper, err := ParseUUID("00112233-4455-6677-8899-AABBCCDDEEFF")
	if err != nil || upper != u {
		t.Errorf("in upper case: %v, %v", upper, err)
	}
}

func TestParseUUIDRefuses(t *testing.T) {
	for _, text := range []string{
		"",
		"00112233-4455-6677-8899-aabbccddeef",
		"00112233-4455-6677-8899-aabbccddeeff0",
		"00112233445566778899aabbccddeeff",
		"{0112233-4455-6677-8899-aabbccddeef}",
		"00112233-4455-6677-8899_aabbccddeeff",
		"0011223g-4455-6677-8899-aabbccddeeff",
		"00112233-4455-6677-8899-aabbccddee-f",
	} {
		if u, err := ParseUUID(text); !errors.Is(err, ErrUUID) || u != (UUID{}) {
			t.Errorf("ParseUUID(%q) = %v, %v", text, u, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MustUUID did not panic")
		}
	}()
	MustUUID("no")
}

func TestSyntaxText(t *testing.T) {
	for _, tc := range []struct {
		s    Syntax
		want string
	}{
		{NDR32, "NDR32"},
		{NDR64, "NDR64"},
		{FeatureNegotiation(3), "features 0x3"},
		{service, "51c82175-844e-4750-b0d8-ec255555bc06 v1.0"},
		{Syntax{UUID: service.UUID, Version: 0x00070002}, "51c82175-844e-4750-b0d8-ec255555bc06 v2.7"},
	} {
		if got := tc.s.String(); got != tc.want {
			t.Errorf("String = %q, want %q", got, tc.want)
		}
	}
}

func TestFeatures(t *testing.T) {
	unknownBits := FeatureNegotiation(0xfedcba9876543210)
	otherVersion := FeatureNegotiation(1)
	otherVersion.Version = 9
	nearly := FeatureNegotiation(1)
	nearly.UUID[7] ^= 1
	for _, tc := range []struct {
		name string
		s    Syntax
		bits uint64
		ok   bool
	}{
		{"none", FeatureNegotiation(0), 0, true},
		{"both", FeatureNegotiation(SecurityContextMultiplexing | KeepConnectionOnOrphan), 3, true},
		{"unknown bits", unknownBits, 0xfedcba9876543210, true},
		{"the prefix alone decides", otherVersion, 1, true},
		{"another prefix", nearly, 0, false},
		{"NDR32", NDR32, 0, false},
		{"NDR64", NDR64, 0, false},
		{"nothing", Syntax{}, 0, false},
	} {
		if bits, ok := tc.s.Features(); bits != tc.bits || ok != tc.ok {
			t.Errorf("%s: Features = %#x, %v; want %#x, %v", tc.name, bits, ok, tc.bits, tc.ok)
		}
	}
}
