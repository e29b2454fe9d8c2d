package main

import (
	"fmt"
	"runtime"
	"strings"
)

// powerDNSInterval is how often PowerDNS tries the ports of ifportup: in seconds, its default.
const powerDNSInterval = 5

// startPowerDNS is pdns_server with its BIND backend, a zone for each of the zones, and its caches as they are by default.
func startPowerDNS(r records, p place) ([]string, error) {
	zones, err := r.zoneEach("static", zoneHead, nil)
	if err != nil {
		return nil, err
	}
	return runPowerDNS(r, p, zones, "no", powerDNSInterval)
}

// startPowerDNSLua is the nearest that PowerDNS comes to kms: a LUA record that answers the SRV records of the hosts whose port
// is open. It is asked anew each time. lua is the word of enable-lua-records.
func startPowerDNSLua(lua string) command {
	return func(r records, p place) ([]string, error) {
		zones, err := r.zoneEach("lua", zoneHead, r.luaService)
		if err != nil {
			return nil, err
		}
		return runPowerDNS(r, p, zones, lua, powerDNSInterval)
	}
}

// luaService writes the LUA record of zone n.
func (r records) luaService(z *strings.Builder, n int) {
	var hosts, addresses []string
	for i := range r.hosts {
		hosts = append(hosts, fmt.Sprintf("['%s']='%s'", r.at(i), r.srv(i, "."+zone(n))))
		addresses = append(addresses, "'"+r.at(i)+"'")
	}
	text := ";local h={" + strings.Join(hosts, ",") + "} local r={} " +
		"for _,a in ipairs(ifportup(" + fmt.Sprint(r.port) + ",{" + strings.Join(addresses, ",") + "},{selector='all'})) " +
		"do r[#r+1]=h[a] end return r"
	// One character-string of a record has 255 octets at most (RFC 1035 3.3); PowerDNS puts them together again.
	fmt.Fprintf(z, "_vlmcs._tcp %d IN LUA SRV", ttl)
	for len(text) > 0 {
		part := text[:min(len(text), 250)]
		fmt.Fprintf(z, " %q", part)
		text = text[len(part):]
	}
	z.WriteString("\n")
}

// runPowerDNS is pdns_server with the zones in a directory. A thread for each core takes questions and answers them itself:
// with the default, which hands them on to others, an answer costs it more.
func runPowerDNS(r records, p place, zones, lua string, interval int) ([]string, error) {
	list, err := p.write("zones.conf", bindZones(r, zones))
	if err != nil {
		return nil, err
	}
	_, err = p.write("pdns.conf", fmt.Sprintf(`launch=bind
bind-config=%s
local-address=127.0.0.1
local-port=%s
socket-dir=%s
receiver-threads=%d
distributor-threads=1
reuseport=yes
max-tcp-connections=100
enable-lua-records=%s
lua-health-checks-interval=%d
guardian=no
daemon=no
loglevel=3
`, list, p.port, p.dir, runtime.NumCPU(), lua, interval))
	return []string{"pdns_server", "--config-dir=" + p.dir}, err
}
