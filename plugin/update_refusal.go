package plugin

import (
	"fmt"

	"github.com/coredns/coredns/plugin"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// updateResult is how an UPDATE ended.
type updateResult uint8

const (
	updateAccepted     updateResult = iota // it changed or renewed something
	updateUnchanged                        // all of it was so already
	updateNotPermitted                     // the policy has something against it
	updateBeyondLimit                      // it is too large, or no place is left
	updatePrerequisite                     // a prerequisite does not hold
	updateMalformed                        // it breaks RFC 2136
	updateNotAuth                          // it is for a zone, or for names, that are not ours
	updateFailed                           // it could not be judged or kept
	updateObserved                         // everybody is refused
)

var updateWords = [...]string{"accepted", "unchanged", "refused_policy", "refused_limit", "prerequisite", "malformed",
	"notauth", "failed", "observed"}

func (r updateResult) String() string { return updateWords[r] }

var updatesTotal = promauto.NewCounterVec(prometheus.CounterOpts{
	Namespace: plugin.Namespace, Subsystem: Name, Name: "updates_total",
	Help: "Counter of UPDATEs (RFC 2136) that were not passed on, by zone of a kms block, or \"other\", and how they ended.",
}, []string{"zone", "result"})

// countUpdates gives each zone of sites its rows of updates_total, so that the first of a kind is seen as an increase. It does
// nothing where no block has update: then the rows would say nothing.
func countUpdates(sites []*Site) {
	var zones []string
	for _, s := range sites {
		if s.Update != nil {
			zones = append(zones, s.Zones...)
		}
	}
	if len(zones) == 0 {
		return
	}
	for _, zone := range append(zones, "other") {
		for _, result := range updateWords {
			updatesTotal.WithLabelValues(zone, result)
		}
	}
}

// refusal is why an UPDATE is not carried out, and what its sender is told.
type refusal struct {
	rcode  int
	result updateResult
	why    string
}

func (r *refusal) Error() string { return r.why }

// refuse is for what the policy does not permit.
func refuse(format string, args ...any) *refusal {
	return &refusal{dns.RcodeRefused, updateNotPermitted, fmt.Sprintf(format, args...)}
}

// beyond is for what there is no room for.
func beyond(format string, args ...any) *refusal {
	return &refusal{dns.RcodeRefused, updateBeyondLimit, fmt.Sprintf(format, args...)}
}

// malformed is for what breaks the protocol: FORMERR or NOTZONE.
func malformed(rcode int, format string, args ...any) *refusal {
	return &refusal{rcode, updateMalformed, fmt.Sprintf(format, args...)}
}

// unmet is for a prerequisite that does not hold.
func unmet(rcode int, format string, args ...any) *refusal {
	return &refusal{rcode, updatePrerequisite, fmt.Sprintf(format, args...)}
}

// failure is for what is not the sender's fault.
func failure(format string, args ...any) *refusal {
	return &refusal{dns.RcodeServerFailure, updateFailed, fmt.Sprintf(format, args...)}
}
