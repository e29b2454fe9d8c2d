package dcerpc

// Interface is what a server offers: one interface and how it may be spoken to.
// It is read only, and may be shared between goroutines.
type Interface struct {
	Abstract Syntax

	// Transfer lists every encoding that the server takes, preferred first.
	// The order matters only among encodings proposed at the same time.
	Transfer []Syntax

	// Features are the bits of bind-time feature negotiation that the server
	// grants. Only the low 16 can be told to a client.
	Features uint64
}

// Accept answers the contexts proposed in one bind or alter_context and returns
// one result for each, in their order ([MS-RPCE] 3.3.1.5.3 and 3.3.1.5.6):
//
//   - At most one context is accepted: the first to propose the encoding that
//     stands first in i.Transfer among all proposed for the interface. Other
//     contexts for the interface are rejected for their transfer syntaxes,
//     even if the server could speak one of them.
//   - A context for another interface, or for a version that i does not cover,
//     is rejected for its abstract syntax. A server covers its own major version
//     and minor versions up to its own.
//   - A context that proposes bind-time feature negotiation is answered with
//     the features asked for and granted, whatever its interface: it is a
//     question about the connection.
//
// Nothing is remembered between calls. A client whose other encoding was turned
// down in favour of a preferred one gets it by proposing it alone, which is what
// alter_context is for.
func (i Interface) Accept(contexts []Context) []ContextResult {
	chosen, transfer := i.choose(contexts)
	results := make([]ContextResult, len(contexts))
	for n, c := range contexts {
		bits, negotiation := c.features()
		switch {
		case negotiation:
			results[n] = ContextResult{Result: NegotiateAck, Reason: uint16(bits & i.Features)}
		case !i.covers(c.Abstract):
			results[n] = ContextResult{Result: ProviderRejection, Reason: ReasonAbstractSyntax}
		case n == chosen:
			results[n] = ContextResult{Result: Acceptance, Transfer: transfer}
		default:
			results[n] = ContextResult{Result: ProviderRejection, Reason: ReasonTransferSyntax}
		}
	}
	return results
}

// choose returns the index of the context to accept and its encoding, or -1.
func (i Interface) choose(contexts []Context) (int, Syntax) {
	for _, preferred := range i.Transfer {
		for n, c := range contexts {
			if _, negotiation := c.features(); negotiation || !i.covers(c.Abstract) {
				continue
			}
			for _, s := range c.Transfer {
				if s == preferred {
					return n, s
				}
			}
		}
	}
	return -1, Syntax{}
}

// covers reports whether a client of the interface version s can be served.
func (i Interface) covers(s Syntax) bool {
	return s.UUID == i.Abstract.UUID &&
		s.major() == i.Abstract.major() && s.minor() <= i.Abstract.minor()
}

// features returns the features that c asks for. The first transfer syntax
// decides whether c is feature negotiation; the protocol allows only one there.
func (c Context) features() (bits uint64, ok bool) {
	if len(c.Transfer) == 0 {
		return 0, false
	}
	return c.Transfer[0].Features()
}
