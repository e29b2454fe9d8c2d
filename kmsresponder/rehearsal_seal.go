package kmsresponder

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// DefaultSecret is the secret of a site that has not chosen one. Everybody has
// it, and nobody needs to keep it: all that a secret does is to keep the
// rehearsals of two sites apart.
const DefaultSecret = "rehearsal only: this secret is public, and nothing that it seals activates anything"

// sealer seals the messages of a rehearsal, and opens them, under the secret of
// a site. The seal is HMAC-SHA-256 cut to the length of a trailer, and has
// nothing in common with what protects genuine messages, of any version: a
// genuine client rejects ours, and we reject its.
//
// A version 4 message keeps its published layout and has the seal as its
// trailer.
//
// Of versions 5 and 6 only the version and the place of a salt are public. Ours
// are therefore this project's own shape, and no more than that: the version,
// the seal where the salt would be, and then all of a version 4 message but its
// trailer, in the clear. A request is filled with zeros to 260 octets, the
// length of a genuine one. It serves to send through a gateway what the gateway
// cannot read.
type sealer []byte

// newSealer returns the sealer of a site, with DefaultSecret if it has none.
func newSealer(secret []byte) sealer {
	if len(secret) == 0 {
		return sealer(DefaultSecret)
	}
	return secret
}

// What a seal is made for, so that no request can pass for a response.
const (
	ofRequest  = "kms rehearsal request"
	ofResponse = "kms rehearsal response"
)

const (
	outerLen     = 4 + kmswire.TrailerLen                    // version and seal
	fieldsLen    = kmswire.RequestV4Len - kmswire.TrailerLen // of a request
	shapedLen    = 260                                       // of a request of versions 5 and 6
	shapedFiller = shapedLen - outerLen - fieldsLen          // zeros
)

// errForeign: a message that was not sealed under this secret, or was changed
// since, or is no rehearsal's at all.
var errForeign = errors.New("not sealed by this rehearsal's secret")

func (s sealer) request(v kmswire.Version, r kmswire.RequestV4) []byte {
	var room [shapedLen]byte
	fields := r.Append(room[:0])[:fieldsLen]
	if v == kmswire.V4 {
		return s.trail(ofRequest, fields)
	}
	return s.lead(ofRequest, v, append(fields, make([]byte, shapedFiller)...))
}

func (s sealer) response(v kmswire.Version, r kmswire.ResponseV4) []byte {
	var room [shapedLen]byte
	fields := r.Append(room[:0])
	fields = fields[:len(fields)-kmswire.TrailerLen]
	if v == kmswire.V4 {
		return s.trail(ofResponse, fields)
	}
	return s.lead(ofResponse, v, fields)
}

// openRequest returns what is in a request, its version even with an error if
// it has one. The error wraps errForeign, or one of kmswire.
func (s sealer) openRequest(message []byte) (kmswire.RequestV4, kmswire.Version, error) {
	fields, v, err := s.open(ofRequest, message)
	switch {
	case err != nil:
		return kmswire.RequestV4{}, v, err
	case v == kmswire.V4 && len(message) != kmswire.RequestV4Len, v != kmswire.V4 && len(message) != shapedLen:
		return kmswire.RequestV4{}, v, fmt.Errorf("request of %d octets: %w", len(message), kmswire.ErrLength)
	}
	r, err := kmswire.ParseRequestV4(fields)
	return r, v, err
}

// openResponse is openRequest for a response.
func (s sealer) openResponse(message []byte) (kmswire.ResponseV4, kmswire.Version, error) {
	fields, v, err := s.open(ofResponse, message)
	if err != nil {
		return kmswire.ResponseV4{}, v, err
	}
	r, err := kmswire.ParseResponseV4(fields)
	return r, v, err
}

// trail returns a message sealed at its end.
func (s sealer) trail(of string, fields []byte) []byte {
	mac := s.sum(of, fields, nil)
	return append(append(make([]byte, 0, len(fields)+len(mac)), fields...), mac...)
}

// lead returns a message of version v that has fields behind its seal.
func (s sealer) lead(of string, v kmswire.Version, fields []byte) []byte {
	message := v.Append(make([]byte, 0, outerLen+len(fields)))
	message = append(message, s.sum(of, message, fields)...)
	return append(message, fields...)
}

// open checks the seal of a message and returns what a version 4 parser reads.
func (s sealer) open(of string, message []byte) (fields []byte, v kmswire.Version, err error) {
	v, err = kmswire.ParseVersion(message)
	if err != nil {
		return nil, v, err
	}
	if !v.Known() {
		return nil, v, kmswire.ErrVersion
	}
	if len(message) < outerLen {
		return nil, v, fmt.Errorf("%d octets: %w", len(message), kmswire.ErrTruncated)
	}
	if v == kmswire.V4 {
		cut := len(message) - kmswire.TrailerLen
		if !hmac.Equal(message[cut:], s.sum(of, message[:cut], nil)) {
			return nil, v, errForeign
		}
		return message, v, nil
	}
	outer, mac, rest := message[:4], message[4:outerLen], message[outerLen:]
	if !hmac.Equal(mac, s.sum(of, outer, rest)) {
		return nil, v, errForeign
	}
	fields = append(make([]byte, 0, len(rest)+len(mac)), rest...)
	return append(fields, mac...), v, nil
}

// sum is the seal of two parts, laid end to end.
func (s sealer) sum(of string, a, b []byte) []byte {
	h := hmac.New(sha256.New, s)
	h.Write([]byte(of))
	h.Write(a)
	h.Write(b)
	return h.Sum(nil)[:kmswire.TrailerLen]
}
