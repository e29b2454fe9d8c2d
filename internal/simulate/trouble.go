package simulate

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// ailment is what is wrong with a host.
type ailment uint8

const (
	well     ailment = iota
	refusing         // nothing listens: connections are refused at once
	off              // nothing answers at all
	hung             // connections are taken, and nothing more comes
)

// span is a time in which something is wrong with a host, since the start.
type span struct {
	from, to time.Duration
	what     ailment
}

// service is a time in which a person has a host drained.
type service struct {
	host     int
	from, to time.Duration
}

// lead is how long before and after it is off a host in service is drained.
const lead = 15 * time.Minute

// Streams of random numbers, each of its own, so that the same seed has the same troubles whatever else is different.
const (
	streamChoices = iota // of clients among records
	streamDraws          // of the responder
	streamCaches
	streamHaste
	streamArrivals
	streamPool
	streamOrders
	streamOutages
	streamHosts // and those behind it, one for each host
)

func (s Scenario) stream(n uint64) *rand.Rand { return rand.New(rand.NewPCG(s.Seed, n)) }

// troubles is what will happen to each host, and when hosts are drained.
func (s Scenario) troubles() (spans [][]span, services []service) {
	spans = make([][]span, s.Hosts)
	outages := sprinkle(s.stream(streamOutages), s.length(), s.OutageEvery, s.OutageFor, func(*rand.Rand) ailment { return off })
	for i := range spans {
		all := sprinkle(s.stream(streamHosts+uint64(i)), s.length(), s.Fail, s.Repair, s.failure)
		spans[i] = append(all, outages...)
	}
	if s.ServiceEvery > 0 {
		for n, at := 0, s.ServiceEvery; at < s.length(); n, at = n+1, at+s.ServiceEvery {
			host := n % s.Hosts
			services = append(services, service{host, at, at + s.ServiceFor + 2*lead})
			spans[host] = append(spans[host], span{at + lead, at + lead + s.ServiceFor, refusing})
		}
	}
	for i := range spans {
		spans[i] = flatten(spans[i])
	}
	return spans, services
}

// failure is how a host fails: some hang, and of the rest every other one is off altogether.
func (s Scenario) failure(rnd *rand.Rand) ailment {
	switch {
	case rnd.Float64() < s.HangPart:
		return hung
	case rnd.IntN(2) == 0:
		return off
	}
	return refusing
}

// sprinkle is spans of mean length lasts, with a mean time of every from one to the next, both exponential.
func sprinkle(rnd *rand.Rand, length, every, lasts time.Duration, what func(*rand.Rand) ailment) []span {
	if every == 0 {
		return nil
	}
	var all []span
	for at := time.Duration(0); ; {
		at += time.Duration(rnd.ExpFloat64() * float64(every))
		if at >= length {
			return all
		}
		to := at + max(time.Duration(rnd.ExpFloat64()*float64(lasts)), time.Second)
		all = append(all, span{at, to, what(rnd)})
		at = to
	}
}

// flatten puts spans in order and cuts off what overlaps an earlier one.
func flatten(all []span) []span {
	slices.SortFunc(all, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	var flat []span
	end := time.Duration(0)
	for _, s := range all {
		s.from = max(s.from, end)
		if s.from < s.to {
			flat = append(flat, s)
			end = s.to
		}
	}
	return flat
}

// edges is when anything changes for any host, in order.
func edges(spans [][]span, services []service) []time.Duration {
	var all []time.Duration
	for _, host := range spans {
		for _, s := range host {
			all = append(all, s.from, s.to)
		}
	}
	for _, s := range services {
		all = append(all, s.from, s.to)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
