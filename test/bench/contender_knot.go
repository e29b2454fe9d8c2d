package main

import (
	"fmt"
	"strings"
)

// startKnot is knotd with a zone for each of the zones, read from files alone.
func startKnot(r records, p place) ([]string, error) {
	zones, err := r.zoneEach("static", zoneHead, nil)
	if err != nil {
		return nil, err
	}
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
  listen: 127.0.0.1@%s
  rundir: %[2]q
database:
  storage: %[2]q
log:
 - target: stderr
   any: error
template:
  - id: default
    storage: %[3]q
    file: "%%s"
    journal-content: none
zone:
`, p.port, p.dir, zones)
	for i := range r.zones {
		fmt.Fprintf(&conf, "  - domain: %s\n", zone(i))
	}
	file, err := p.write("knot.conf", conf.String())
	return []string{"knotd", "-c", file}, err
}
