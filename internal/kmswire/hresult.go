package kmswire

import "fmt"

// HRESULT is the outcome that a KMS host answers, or that a client comes to.
// OK says that the host answered, and not that a product was activated: the
// client decides that, by the count in the answer.
type HRESULT uint32

// The outcomes that this project gives or acts on.
const (
	OK             HRESULT = 0
	InvalidData    HRESULT = 0x8007000D // malformed, or of an unknown protocol version
	HostUnusable   HRESULT = 0xC004F042 // the host has no key for that product
	NotActivated   HRESULT = 0xC004F041 // the host itself is not activated
	NotEnabled     HRESULT = 0xC004F039 // the host service is not enabled
	ClockSkew      HRESULT = 0xC004F06C // clocks of client and host too far apart
	NotEnoughCount HRESULT = 0xC004F038 // the client's verdict on a count below its threshold
	NoHost         HRESULT = 0xC004F074 // the client's verdict when no host could be used
	NoSuffix       HRESULT = 0x8007007B // the client's verdict without a DNS suffix to look under
	NoRecord       HRESULT = 0x8007232B // the client's verdict when DNS does not know the name that hosts have
	NoData         HRESULT = 0x8007251D // the client's verdict when DNS knows that name, and no host of it
)

// String returns the code and, if it is known, a few words.
func (h HRESULT) String() string {
	if words := h.words(); words != "" {
		return h.Code() + " " + words
	}
	return h.Code()
}

// Code returns the code as it is written, 0xC004F074.
func (h HRESULT) Code() string { return fmt.Sprintf("0x%08X", uint32(h)) }

func (h HRESULT) words() string {
	switch h {
	case OK:
		return "answered"
	case InvalidData:
		return "invalid data"
	case HostUnusable:
		return "host has no key for that product"
	case NotActivated:
		return "host is not activated"
	case NotEnabled:
		return "host service is not enabled"
	case ClockSkew:
		return "clocks more than four hours apart"
	case NotEnoughCount:
		return "count below the threshold"
	case NoHost:
		return "no host could be used"
	case NoSuffix:
		return "no DNS suffix to find a host under"
	case NoRecord:
		return "no host in DNS"
	case NoData:
		return "no record of a host in DNS"
	}
	return ""
}
