package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// startGdnsd is gdnsd with a zone for each of the zones. Its own checks of health answer addresses only, so the records stand
// as they are; and it adds no addresses to SRV records.
func startGdnsd(r records, p place) ([]string, error) {
	zones, err := r.zoneEach("static", zoneHead, nil)
	if err != nil {
		return nil, err
	}
	_, err = p.write("config", fmt.Sprintf("options => { listen => 127.0.0.1:%s, run_dir => %q, state_dir => %q }\n",
		p.port, filepath.Join(p.dir, "run"), filepath.Join(p.dir, "state")))
	if err != nil {
		return nil, err
	}
	err = os.Symlink(zones, filepath.Join(p.dir, "zones"))
	return []string{"gdnsd", "-c", p.dir, "start"}, err
}
