package lint

var rehearseRules = []Rule{
	{Name: "rehearsal-among-hosts", Severity: Warning, block: rehearsalAmongHosts,
		Reason: "a rehearsal host activates nobody: clients that get it go on to the next, and its responder's calls fail"},
	{Name: "rehearsal-only", Severity: Note, block: rehearsalOnly,
		Reason: "a pool of rehearsal hosts activates nobody: good for a drill"},
}

func rehearsalAmongHosts(v view, say sayer) {
	b := v.block
	drills := 0
	for _, h := range b.Hosts {
		if v.file.rehearsal(h) {
			drills++
		}
	}
	if drills == 0 || drills == len(b.Hosts) {
		return
	}
	for _, h := range b.Hosts {
		if v.file.rehearsal(h) {
			say(b.at(h), "%s is a rehearsal host of this Corefile, among real ones: it activates nobody; give drills a block "+
				"and a zone of their own", h.Endpoint())
		}
	}
}

// rehearsalOnly is quiet where nobody but this machine can reach the hosts.
func rehearsalOnly(v view, say sayer) {
	b := v.block
	outside := false
	for _, h := range b.Hosts {
		if !v.file.rehearsal(h) {
			return
		}
		for _, a := range v.file.addresses(h) {
			outside = outside || !a.IsLoopback()
		}
	}
	if len(b.Hosts) > 0 && outside {
		say(b.at(b.Hosts[0]), "all hosts are rehearsal hosts of this Corefile, which activate nobody; fine for a drill")
	}
}
