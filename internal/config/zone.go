package config

import (
	"fmt"
	"strings"
)

// MaxNS bounds the name servers of a zone that kms serves.
const MaxNS = 8

// serviceLabels is what Windows clients ask for, in front of their DNS suffix.
const serviceLabels = "_vlmcs._tcp."

// ServiceName is the name that a block owns in zone, which is absolute and lower-case. A zone that begins with it is such a
// name itself, delegated to this server.
func ServiceName(zone string) string {
	switch {
	case Delegated(zone):
		return zone
	case zone == ".":
		return serviceLabels
	}
	return serviceLabels + zone
}

// Delegated says whether zone is itself the name that clients ask for, and not the zone in which it stands.
func Delegated(zone string) bool { return strings.HasPrefix(zone, serviceLabels) }

// validateZones says whether b can answer for its zones.
func (b Block) validateZones() error {
	of := make(map[string]string, len(b.Zones)) // zone, by service name
	for _, zone := range b.Zones {
		service := ServiceName(zone)
		if earlier, ok := of[service]; ok {
			return fmt.Errorf("zones %q and %q are both about %s: leave one", earlier, zone, service)
		}
		of[service] = zone
		if !Delegated(zone) {
			continue
		}
		if len(b.NS) == 0 {
			return fmt.Errorf("zone %q is delegated to this server and needs name servers of its own: "+
				"say \"ns NAME...\" with those that the zone above names", zone)
		}
		for _, h := range b.Hosts {
			if h.Name == "" {
				return misplaced("host "+h.Endpoint(), "host %s: in zone %q no host name can be made up for an address: give the name of the host",
					h.Endpoint(), zone)
			}
		}
	}
	return ValidateNS(b.NS, b.Zones)
}

// ValidateNS says whether names, absolute and lower-case, can be the name servers of the service names in zones.
func ValidateNS(names, zones []string) error {
	if len(names) > MaxNS {
		return fmt.Errorf("ns: %d name servers: at most %d", len(names), MaxNS)
	}
	for i, name := range names {
		for _, zone := range zones {
			service := ServiceName(zone)
			if name == service || strings.HasSuffix(name, "."+service) {
				return fmt.Errorf("ns %s: a name outside %s, which has no addresses in it, as in ns1.example.org", name, service)
			}
		}
		if err := ValidateHostName(name); err != nil {
			return fmt.Errorf("ns %w", err)
		}
		for _, earlier := range names[:i] {
			if name == earlier {
				return fmt.Errorf("ns %s twice", name)
			}
		}
	}
	return nil
}
