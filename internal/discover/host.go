package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/miekg/dns"
)

// found is addresses by name.
type found map[string][]Address

func (f found) add(rr dns.RR) {
	name := strings.TrimSuffix(dns.CanonicalName(rr.Header().Name), ".")
	if a := addressOf(rr); a.IsValid() && len(f[name]) < config.MaxAddresses {
		f[name] = append(f[name], Address{Address: a.String(), Given: true})
	}
}

// addressOf returns the address in an A or AAAA record; that of others is not valid.
func addressOf(rr dns.RR) netip.Addr {
	var a netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		a, _ = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		a, _ = netip.AddrFromSlice(rr.AAAA)
	}
	return a.Unmap()
}

// of returns the addresses of name, each once, IPv4 first.
func (f found) of(name string) []Address { return sorted(slices.Clone(f[name])) }

func sorted(all []Address) []Address {
	slices.SortFunc(all, func(a, b Address) int { return parsed(a).Compare(parsed(b)) })
	return slices.CompactFunc(all, func(a, b Address) bool { return a.Address == b.Address })
}

func parsed(a Address) netip.Addr {
	p, _ := netip.ParseAddr(a.Address)
	return p
}

// addresses asks for the A and AAAA records of name: its addresses, what it is an alias of, and what came of it in a word if it
// has none.
func (w *walk) addresses(ctx context.Context, name string) (all []Address, alias, outcome string) {
	if w.server == "" {
		return nil, "", "no DNS server"
	}
	replies := make([]reply, 2)
	each(2, func(i int) { replies[i] = w.ask(ctx, w.server, name, []uint16{dns.TypeA, dns.TypeAAAA}[i], true) })
	for _, r := range replies {
		word, local := r.outcome(ctx)
		if r.msg == nil || r.msg.Rcode != dns.RcodeSuccess {
			if local {
				word = "local"
			}
			outcome = word
			continue
		}
		outcome = cmp.Or(outcome, "NODATA")
		for _, rr := range r.msg.Answer {
			if a := addressOf(rr); a.IsValid() { // whatever its name: it is at the end of the aliases
				all = append(all, Address{Address: a.String()})
			}
			if c, ok := rr.(*dns.CNAME); ok {
				alias = strings.TrimSuffix(dns.CanonicalName(c.Target), ".")
			}
		}
	}
	all = sorted(all)
	return all[:min(len(all), config.MaxAddresses)], alias, outcome
}

// examine finds out about one host: its name, its addresses and whether it serves.
func (w *walk) examine(ctx context.Context, h *Host) {
	if h.check(); h.fault != "" {
		h.Result, h.Error, h.Addresses = "dead", h.fault, []Address{}
		return
	}
	if len(h.Addresses) == 0 {
		h.Addresses, h.alias, h.resolve = w.addresses(ctx, h.Target)
	}
	if len(h.Addresses) == 0 {
		h.Addresses = []Address{}
		h.unresolved()
		return
	}
	each(len(h.Addresses), func(i int) {
		a := &h.Addresses[i]
		address := parsed(*a)
		a.NoRoute = noRoute(ctx, address)
		a.Result = w.Prober.Probe(ctx, []netip.Addr{address}, h.Port)
	})
	h.weigh()
}

// check says what is wrong with the record itself.
func (h *Host) check() {
	switch {
	case len(h.Addresses) > 0 && h.Addresses[0].Address == h.Target: // set by hand
	case h.Target == "":
		h.fault = "the target is \".\": the record says that there is no KMS host"
		h.change = []string{"take the record away, or name a host in it"}
	case h.Port == 0:
		h.fault = "the port is 0, where nothing can listen"
		h.change = []string{fmt.Sprintf("make it %d in the record", config.DefaultPort)}
	case isAddress(h.Target):
		h.fault = "the target looks like an IP address, and has to be the name of a host: nobody resolves it"
		h.change = []string{"give that address a name (an A or AAAA record) and put the name into the SRV record"}
	}
}

// isAddress says whether somebody took an address for a name: 192.0.2.10, or with the zone behind it.
func isAddress(target string) bool {
	if _, err := netip.ParseAddr(target); err == nil {
		return true
	}
	labels := strings.Split(target, ".")
	if len(labels) < 4 {
		return false
	}
	_, err := netip.ParseAddr(strings.Join(labels[:4], "."))
	return err == nil
}

// unresolved says why a target has no address, and what that means.
func (h *Host) unresolved() {
	h.Result = "dead"
	switch h.resolve {
	case "local", "no DNS server":
		h.Result, h.Error = "unknown", "its address could not be asked for"
		return
	case "NXDOMAIN":
		h.Error = h.Target + " does not exist (NXDOMAIN)"
	case "NODATA":
		h.Error = h.Target + " has no address"
	default:
		h.Error = fmt.Sprintf("the address of %s could not be found out (%s)", h.Target, h.resolve)
	}
	h.change = []string{fmt.Sprintf("add an A or AAAA record for %s, or take the SRV record away", h.Target)}
	switch {
	case h.meant() != "":
		h.change = []string{fmt.Sprintf("the dot at the end of the target is missing in the zone file: write \"%s.\"", h.meant())}
	case !strings.Contains(h.Target, "."):
		h.change = []string{"write the whole name into the record: a client appends nothing to a target"}
	}
}

// meant is the target without the name of its zone, if that stands there twice; "" if it does not.
func (h *Host) meant() string {
	for zone := h.Suffix; strings.Contains(zone, "."); _, zone, _ = strings.Cut(zone, ".") {
		if name, ok := strings.CutSuffix(h.Target, "."+zone); ok && strings.HasSuffix(name, "."+zone) {
			return name
		}
	}
	return ""
}

// weigh makes one result of those of all addresses.
func (h *Host) weigh() {
	h.Result = "unknown"
	for _, a := range h.Addresses {
		switch r := a.Result; {
		case r.Outcome == probe.Passed:
			h.Result, h.Error, h.Syntax = "passed", "", r.Syntax
			return
		case !r.Outcome.Verdict() || a.NoRoute:
			h.Error = cmp.Or(h.Error, describe(a))
		default:
			h.Error, h.Result = describe(a), "dead"
		}
	}
}

// describe is why an address did not pass.
func describe(a Address) string {
	if a.NoRoute {
		return fmt.Sprintf("%s cannot be tried: this machine has no way to it", a.Address)
	}
	return harmless(a.Result.Err.Error())
}

// noRoute says whether this machine has no way to address at all, as one without IPv6 has not. Nothing is sent.
func noRoute(ctx context.Context, address netip.Addr) bool {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(address, config.DefaultPort).String())
	if err != nil {
		return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
	}
	c.Close()
	return false
}

const (
	partHosts  = "Hosts, in the order in which a client tries them"
	partRandom = "Hosts, of which a client of Windows Vista tries any"
	partOthers = "Hosts that this client does not come to"
)

// giveUp is when Windows gives up a connection that nobody answers: SYNs at 0, 3 and 9 seconds, and 12 more of waiting.
const giveUp = 21 * time.Second

// hostSteps examines all hosts, puts them in order and says what is wrong with each.
func (w *walk) hostSteps(ctx context.Context) {
	each(len(w.r.Hosts), func(i int) { w.examine(ctx, &w.r.Hosts[i]) })
	inOrder(w.r.Hosts, w.AnyOrder)
	place := 0
	for _, h := range w.r.Hosts {
		part := partHosts
		switch {
		case !h.used:
			part = partOthers
		case w.AnyOrder:
			part = partRandom
		}
		s := Step{Part: part, Mark: Good, Text: h.Endpoint()}
		if h.used {
			place++
			s.Text = fmt.Sprintf("%d. %s", place, s.Text)
		}
		if w.Host == "" {
			s.Text += fmt.Sprintf(", priority %d, weight %d, %s", h.Priority, h.Weight, percent(h.Chance))
		}
		switch h.Result {
		case "passed":
			s.Text += ": " + h.passed()
		case "dead":
			s.Mark, s.Text, s.Code, s.Change = Fail, s.Text+": "+h.Error, "0x800706BA", h.remedy(w.Host != "")
			if h.Chance == 1 && h.waits() {
				s.Text += fmt.Sprintf("; every client first waits for it, about %d s", int(giveUp.Seconds()))
			}
		default:
			s.Mark, s.Text = Open, s.Text+": "+h.Error
		}
		w.step(s)
		w.oddities(part, h)
	}
}

// percent is a chance in words.
func percent(chance float64) string {
	switch {
	case chance == 0:
		return "behind others"
	case chance == 1:
		return "always first"
	case chance < 0.005:
		return "hardly ever first"
	}
	return fmt.Sprintf("first for %.0f %%", chance*100)
}

// passed says where the host was reached and in what time.
func (h Host) passed() string {
	i := slices.IndexFunc(h.Addresses, func(a Address) bool { return a.Result.Outcome == probe.Passed })
	text := fmt.Sprintf("%s takes a KMS bind in %s", h.Addresses[i].Address, milliseconds(h.Addresses[i].Result.RTT))
	if h.Syntax != "" {
		text += ", " + h.Syntax
	}
	return text
}

// waits says whether nothing at all comes back from the host.
func (h Host) waits() bool {
	return slices.ContainsFunc(h.Addresses, func(a Address) bool {
		return a.Result.Outcome == probe.Timeout && a.Result.Stage == probe.Connect
	})
}

// remedy is what to do about a dead host.
func (h Host) remedy(byHand bool) []string {
	if h.change != nil {
		return h.change
	}
	away := "or take its SRV record away, if the host is gone: hosts never withdraw theirs"
	if byHand {
		away = "or have clients find a host by themselves: slmgr /ckms"
	}
	i := slices.IndexFunc(h.Addresses, func(a Address) bool {
		return a.Result.Outcome.Verdict() && a.Result.Outcome != probe.Passed && !a.NoRoute
	})
	switch h.Addresses[i].Result.Outcome {
	case probe.Rejected, probe.Garbled, probe.Closed:
		return []string{"another program has that port: see what listens there, that the KMS host service runs (Get-Service sppsvc), " +
			"and which port it uses (slmgr /dlv)", away}
	case probe.Timeout:
		if h.Addresses[i].Result.Stage == probe.Bind {
			return []string{"the host hangs: Restart-Service sppsvc on it; or something else has that port", away}
		}
		return []string{"switch the host on, or open its TCP port to clients: Enable-NetFirewallRule -Name SPPSVC-In-TCP on the host",
			away}
	}
	return []string{"start the KMS service on it, or open its TCP port: Enable-NetFirewallRule -Name SPPSVC-In-TCP on the host", away}
}

// oddities is what is wrong with a host that may yet serve.
func (w *walk) oddities(part string, h Host) {
	name := h.Endpoint()
	if h.alias != "" {
		w.step(Step{Part: part, Mark: Warn, Text: fmt.Sprintf("%s: the target is an alias for %s, which an SRV target must not be "+
			"(RFC 2782)", name, h.alias),
			Change: []string{fmt.Sprintf("put %s into the SRV record", h.alias)}})
	}
	if w.Host == "" && h.fault == "" && config.ValidateHostName(h.Target+".") != nil {
		w.step(Step{Part: part, Mark: Warn, Text: fmt.Sprintf("%s: the target is no full host name of letters, digits and hyphens", name),
			Change: []string{"give the host such a name and put it into the SRV record"}})
	}
	for _, a := range h.Addresses {
		switch address := parsed(a); {
		case (address.IsLoopback() || address.IsUnspecified()) && !w.loopback() && w.Host == "":
			w.step(Step{Part: part, Mark: Warn, Text: fmt.Sprintf("%s: %s is the client itself, for every client", name, a.Address),
				Change: []string{"publish the address by which others reach the host"}})
		case a.NoRoute && h.Result == "passed":
			w.step(Step{Part: part, Mark: Note, Text: fmt.Sprintf("%s: %s is not tried: this machine has no way to it, others may", name,
				a.Address)})
		case h.Result == "passed" && a.Result.Outcome != probe.Passed && a.Result.Outcome.Verdict():
			w.step(Step{Part: part, Mark: Warn, Text: fmt.Sprintf("%s: a client that tries %s first waits: %s", name, a.Address,
				describe(a)),
				Change: []string{fmt.Sprintf("take the address away from %s, or make the host listen at it", h.Target)}})
		}
	}
}

// loopback says whether the DNS server is this machine: a trial, where everything is at 127.0.0.1.
func (w *walk) loopback() bool {
	to, err := netip.ParseAddrPort(w.server)
	return err == nil && to.Addr().IsLoopback()
}
