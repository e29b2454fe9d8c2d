package dcerpc

import (
	"reflect"
	"testing"
)

// propose makes contexts 0, 1, ... for the service, of one transfer syntax each.
func propose(syntaxes ...Syntax) []Context {
	var contexts []Context
	for i, s := range syntaxes {
		contexts = append(contexts, Context{ID: uint16(i), Abstract: service, Transfer: []Syntax{s}})
	}
	return contexts
}

// TestAccept has a row for every statement of [MS-RPCE] 3.3.1.5.3 and 3.3.1.5.6
// and for what Windows hosts were seen to answer.
func TestAccept(t *testing.T) {
	older := Interface{Abstract: service, Transfer: []Syntax{NDR32}, Features: 3}
	newer := Interface{Abstract: service, Transfer: []Syntax{NDR64, NDR32}, Features: 3}
	plain := Interface{Abstract: service, Transfer: []Syntax{NDR32}}
	second := Interface{Abstract: Syntax{service.UUID, 0x00030001}, Transfer: []Syntax{NDR32}} // v1.3

	other := Syntax{MustUUID("00112233-4455-6677-8899-aabbccddeeff"), 1}
	version := func(v uint32) []Context {
		return []Context{{Abstract: Syntax{service.UUID, v}, Transfer: []Syntax{NDR32}}}
	}
	var (
		ndr32      = ContextResult{Transfer: NDR32}
		ndr64      = ContextResult{Transfer: NDR64}
		noTransfer = ContextResult{Result: 2, Reason: 2}
		noAbstract = ContextResult{Result: 2, Reason: 1}
	)
	features := func(bits uint16) ContextResult { return ContextResult{Result: 3, Reason: bits} }

	tests := []struct {
		name   string
		server Interface
		client []Context
		want   []ContextResult
	}{
		{"32-bit client, older host", older, propose(NDR32, FeatureNegotiation(3)), []ContextResult{ndr32, features(3)}},
		{"64-bit client, older host", older, propose(NDR32, NDR64, FeatureNegotiation(3)), []ContextResult{ndr32, noTransfer, features(3)}},
		{"32-bit client, newer host", newer, propose(NDR32, FeatureNegotiation(3)), []ContextResult{ndr32, features(3)}},
		{"64-bit client, newer host", newer, propose(NDR32, NDR64, FeatureNegotiation(3)), []ContextResult{noTransfer, ndr64, features(3)}},
		{"preferred syntax in the first context", newer, propose(NDR64, NDR32), []ContextResult{ndr64, noTransfer}},
		{"alter_context after NDR32 was turned down", newer, propose(NDR32), []ContextResult{ndr32}},
		{"alter_context to the preferred", newer, propose(NDR64), []ContextResult{ndr64}},
		{"only a syntax unknown here", older, propose(NDR64), []ContextResult{noTransfer}},
		{"the same syntax twice", older, propose(NDR32, NDR32), []ContextResult{ndr32, noTransfer}},
		{"both syntaxes in one context, newer host", newer,
			[]Context{{Abstract: service, Transfer: []Syntax{NDR32, NDR64}}}, []ContextResult{ndr64}},
		{"both syntaxes in one context, older host", older,
			[]Context{{Abstract: service, Transfer: []Syntax{NDR64, NDR32}}}, []ContextResult{ndr32}},
		{"another version of NDR", older, propose(Syntax{NDR32.UUID, 1}), []ContextResult{noTransfer}},
		{"no syntax", older, []Context{{Abstract: service}}, []ContextResult{noTransfer}},
		{"no contexts", older, nil, []ContextResult{}},

		{"another interface", older, []Context{{Abstract: other, Transfer: []Syntax{NDR32}}}, []ContextResult{noAbstract}},
		{"another interface among ours", newer,
			[]Context{{Abstract: other, Transfer: []Syntax{NDR64}}, propose(NDR32)[0]}, []ContextResult{noAbstract, ndr32}},
		{"nobody's interface and syntax", older, []Context{{Abstract: other, Transfer: []Syntax{NDR64}}}, []ContextResult{noAbstract}},
		{"higher major version", older, version(2), []ContextResult{noAbstract}},
		{"lower major version", older, version(0), []ContextResult{noAbstract}},
		{"higher minor version", older, version(0x00010001), []ContextResult{noAbstract}},
		{"minor version of the server's", second, version(0x00030001), []ContextResult{ndr32}},
		{"minor version below the server's", second, version(0x00010001), []ContextResult{ndr32}},
		{"minor version above the server's", second, version(0x00040001), []ContextResult{noAbstract}},

		{"one feature asked for", older, propose(FeatureNegotiation(2)), []ContextResult{features(2)}},
		{"unknown features asked for", older, propose(FeatureNegotiation(0xffffffffffffffff)), []ContextResult{features(3)}},
		{"no features granted", plain, propose(FeatureNegotiation(3)), []ContextResult{features(0)}},
		{"features with another interface", older,
			[]Context{{Abstract: other, Transfer: []Syntax{FeatureNegotiation(1)}}}, []ContextResult{features(1)}},
		{"features first, a syntax behind", older,
			[]Context{{Abstract: service, Transfer: []Syntax{FeatureNegotiation(1), NDR32}}}, []ContextResult{features(1)}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.server.Accept(tc.client); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("Accept\n got %v\nwant %v", got, tc.want)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for _, tc := range []struct {
		name    string
		results []ContextResult
		index   int
		ok      bool
	}{
		{"none", nil, 0, false},
		{"rejected, features", []ContextResult{rejectedTransfer, {Result: NegotiateAck}}, 0, false},
		{"first", []ContextResult{{Transfer: NDR32}, rejectedTransfer}, 0, true},
		{"second", []ContextResult{rejectedTransfer, {Transfer: NDR64}}, 1, true},
	} {
		if index, ok := (BindAck{Results: tc.results}).Accepted(); index != tc.index || ok != tc.ok {
			t.Errorf("%s: Accepted = %d, %v; want %d, %v", tc.name, index, ok, tc.index, tc.ok)
		}
	}
}

func TestFragLimit(t *testing.T) {
	for _, tc := range []struct{ xmit, recv, want uint16 }{
		{5840, 5840, 5840},
		{4280, 5840, 4280},
		{5840, 4280, 4280},
		{65535, 65535, 5840},
		{1432, 1432, 1432},
		{0, 5840, 1432},
		{5840, 1431, 1432},
	} {
		if got := (Bind{MaxXmit: tc.xmit, MaxRecv: tc.recv}).FragLimit(); got != tc.want {
			t.Errorf("FragLimit of %d and %d = %d, want %d", tc.xmit, tc.recv, got, tc.want)
		}
	}
}
