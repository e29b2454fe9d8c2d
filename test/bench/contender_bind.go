package main

import (
	"fmt"
	"strings"
)

// startBIND is named with a zone for each of the zones, without anything else that it could do.
func startBIND(r records, p place) ([]string, error) {
	zones, err := r.zoneEach("static", zoneHead, nil)
	if err != nil {
		return nil, err
	}
	var conf strings.Builder
	fmt.Fprintf(&conf, `options {
	directory %q;
	pid-file none;
	session-keyfile none;
	listen-on port %s { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	minimal-responses no-auth;
	notify no;
	dnssec-validation no;
};
controls { };
logging { channel errors { stderr; severity error; }; category default { errors; }; };
%s`, p.dir, p.port, bindZones(r, zones))
	file, err := p.write("named.conf", conf.String())
	return []string{"named", "-f", "-c", file}, err
}

// bindZones is the zones in the words of named.conf; their files are in dir.
func bindZones(r records, dir string) string {
	var b strings.Builder
	for i := range r.zones {
		name := strings.TrimSuffix(zone(i), ".")
		fmt.Fprintf(&b, "zone %q { type master; file \"%s/%s\"; };\n", name, dir, name)
	}
	return b.String()
}
