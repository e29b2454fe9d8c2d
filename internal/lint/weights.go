package lint

import (
	"github.com/coredns-kms/coredns-kms/internal/config"
)

var weightRules = []Rule{
	{Name: "weight-alone", Severity: Note, block: weightAlone,
		Reason: "a weight is a share among hosts of one priority: with nobody to share with it says nothing"},
	{Name: "weights-equal", Severity: Note, block: weightsEqual,
		Reason: "equal weights are what hosts without a weight have too: they look like a decision and are none"},
	{Name: "weight-zero", Severity: Warning, block: weightZero,
		Reason: "weight 0 beside other weights is next to never chosen (RFC 2782), which priority says better"},
}

// A record is one record of a block's answer, while all is well.
type record struct {
	name             string
	priority, weight uint16
	at               config.Place
}

// tiers is the records of b by priority, each tier in the order of the Corefile, the responder's record last.
func (b Block) tiers() (tiers [][]record) {
	var all []record
	for _, h := range b.Hosts {
		all = append(all, record{h.Endpoint(), h.Priority, h.Weight, b.at(h)})
	}
	if b.Responder != nil && b.Responder.Advertise.Name != "" {
		a := b.Responder.Advertise
		all = append(all, record{bare(a.Name), a.Priority, a.Weight, b.Places.Of("responder advertise")})
	}
	of := make(map[uint16]int)
	for _, r := range all {
		i, ok := of[r.priority]
		if !ok {
			i, of[r.priority] = len(tiers), len(tiers)
			tiers = append(tiers, nil)
		}
		tiers[i] = append(tiers[i], r)
	}
	return tiers
}

func weightAlone(v view, say sayer) {
	for _, t := range v.block.tiers() {
		if len(t) == 1 && t[0].weight > 0 && !v.block.grows() {
			say(t[0].at, "weight %d of %s does nothing: nobody else has priority %d; leave it out, or give those that are to "+
				"share its work the same priority",
				t[0].weight, t[0].name, t[0].priority)
		}
	}
}

func weightsEqual(v view, say sayer) {
	for _, t := range v.block.tiers() {
		first, equal := t[0].weight, true
		for _, r := range t {
			equal = equal && r.weight == first
		}
		if len(t) > 1 && equal && first > 0 && !v.block.grows() {
			say(t[0].at, "all %d records of priority %d have weight %d: equal shares, as they have without weights; leave them "+
				"out, or make them differ",
				len(t), t[0].priority, first)
		}
	}
}

func weightZero(v view, say sayer) {
	for _, t := range v.block.tiers() {
		sum := 0
		for _, r := range t {
			sum += int(r.weight)
		}
		for _, r := range t {
			if r.weight == 0 && sum > 0 {
				say(r.at, "%s has weight 0 beside others of priority %d that have %d together: its chance to be first is about 1 in %d; "+
					"give it a weight, or a priority behind them if it is their reserve", r.name, r.priority, sum, sum+1)
			}
		}
	}
}
