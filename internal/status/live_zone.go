package status

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// zone is what clients in zone are answered now, and why.
func (m *moment) zone(f Face, zone string) Zone {
	s := f.Pool.Answer()
	out := Zone{Name: plainName(zone), Service: plainName(config.ServiceName(zone)), Pool: f.Pool.Name, Result: f.Result(s),
		TTL: f.TTL(s.Condition), Answer: []Record{}, Absent: []Absent{}}
	out.Why = resultWhy(out.Result, s)
	if out.Result == "nodata" && f.Falls != nil && f.Falls(zone) {
		out.Why += "; but with fallthrough the next plugin answers first, and may have records of its own"
	}
	hosts := make(map[string]pool.Status)
	for _, h := range m.hosts(f.Pool) {
		hosts[h.Endpoint()] = h
	}
	if out.Result == "normal" || out.Result == "fail_open" {
		chances := pool.Chances(s.Records)
		for i, r := range s.Records {
			one := Record{Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: plainName(f.Target(r, zone)), Endpoint: r.Endpoint,
				Addresses: texts(r.Addresses), Chance: chances[i], AnyChance: 1 / float64(len(s.Records)), Configured: r.Priority}
			if h, ok := hosts[r.Endpoint]; ok {
				one.State, one.Configured, one.Why = h.State.String(), h.Priority, m.recordWhy(s, r, h)
			} else {
				one.State = "responder"
				one.Why = "this server, whose responder carries calls to a live host; it is listed while one is alive"
			}
			out.Answer = append(out.Answer, one)
		}
	}
	for _, h := range m.hosts(f.Pool) {
		listed := slices.ContainsFunc(out.Answer, func(r Record) bool { return r.Endpoint == h.Endpoint() })
		if !listed {
			out.Absent = append(out.Absent, Absent{Endpoint: h.Endpoint(), State: h.State.String(), Why: absentWhy(out.Result, s, h)})
		}
	}
	return out
}

// resultWhy is why a zone is answered as it is.
func resultWhy(result string, s *pool.Snapshot) string {
	switch result {
	case "normal":
		return counted(len(s.Records), "record", "records") + " by what the checks say"
	case "fail_open":
		if s.Condition == pool.SelfSuspected {
			return "the last good answer: every host failed at once, which says more about this server's network than about them"
		}
		return "every host failed its checks, and all_down says to serve: these are the hosts of the first tier as configured, because a wrong " +
			"host costs a client one connection attempt, and an empty answer two hours"
	case "servfail":
		if s.Standing == 0 {
			return "no host may be offered, and all_down says SERVFAIL"
		}
		return "every host failed its checks, and all_down says SERVFAIL"
	}
	if s.Standing == 0 {
		return "an empty answer: no host may be offered; a client that sees this waits for two hours"
	}
	return "an empty answer: every host failed its checks, and all_down says nodata"
}

// recordWhy is why the record of h stands where it does.
func (m *moment) recordWhy(s *pool.Snapshot, r pool.Record, h pool.Status) string {
	since := span(m.now.Sub(h.Since))
	place := fmt.Sprintf("as configured, priority %d", h.Priority)
	if r.Priority != h.Priority { // there is no number left behind it
		place = fmt.Sprintf("its place as configured, but all are numbered anew (configured priority %d)", h.Priority)
	}
	switch {
	case lost(h) && s.Condition == pool.AllDown:
		return "its name does not resolve here, and never did: answered all the same, of the first tier as configured"
	case lost(h):
		return "its name does not resolve here, and never did: behind every other host"
	case s.Condition == pool.AllDown:
		return "down, and answered all the same: of the first tier as configured"
	case h.State == pool.Suspect && r.Priority != h.Priority:
		return fmt.Sprintf("suspect since %s: behind every healthy host (configured priority %d) until it passes once, or fails often enough to be dropped",
			since, h.Priority)
	case s.Condition == pool.SelfSuspected && h.State != pool.Up:
		return "kept from the last good answer, while this server suspects its own network; it fails since " + since
	case h.State == pool.Suspect:
		return "suspect since " + since + ", and nobody is healthier: " + place
	case h.State == pool.Unchecked:
		return "not asked yet, and offered until it is: " + place
	}
	return "up for " + since + ": " + place
}

// lost is whether nothing is known of h, because its name does not resolve.
func lost(h pool.Status) bool {
	return h.State == pool.Unchecked && h.Unresolved != nil && len(h.Addresses) == 0
}

// absentWhy is why h is not in an answer.
func absentWhy(result string, s *pool.Snapshot, h pool.Status) string {
	switch h.State {
	case pool.Drained:
		return drainedWhy(h)
	case pool.Claimed:
		return "it announced itself, and has not passed its checks yet"
	case pool.Down:
		if s.Condition == pool.AllDown && result == "fail_open" {
			return "as all hosts are, and it is not of the first tier"
		}
		return reason(h)
	}
	if result == "fail_open" {
		return "nothing is known of it, and it is not of the first tier, which is answered while every host is down"
	}
	return "the answer is empty (" + result + ")"
}

func drainedWhy(h pool.Status) string {
	if h.Drainage == nil {
		return "drained by nobody knows whom"
	}
	text := "drained by " + line(h.Drainage.By) + h.Drainage.At.UTC().Format(" on 2006-01-02 15:04 UTC")
	if h.Drainage.Why != "" {
		text += ": " + line(h.Drainage.Why)
	}
	return text
}

// reason is why h failed last, in words.
func reason(h pool.Status) string {
	switch {
	case h.Reason != nil:
		return line(h.Reason.Error())
	case h.Unresolved != nil:
		return line(h.Unresolved.Error())
	}
	return "no failure is known"
}

func texts(addresses []netip.Addr) []string {
	all := make([]string, len(addresses))
	for i, a := range addresses {
		all[i] = a.String()
	}
	return all
}
