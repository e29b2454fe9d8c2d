package discover

import (
	"context"
	"fmt"
	"slices"
)

// conclude sums up: what a client gets, and what breaks first.
func (w *walk) conclude(ctx context.Context) {
	live, dead, unknown, chance := 0, 0, 0, 0.0
	for _, h := range w.r.Hosts {
		switch {
		case !h.used:
		case h.Result == "passed":
			live++
			chance += h.Chance
		case h.Result == "dead":
			dead++
		default:
			unknown++
		}
	}
	marked := func(marks ...Mark) int {
		return slices.IndexFunc(w.r.Steps, func(s Step) bool { return slices.Contains(marks, s.Mark) })
	}
	switch bad := marked(Fail, Warn); {
	case live > 0 && bad < 0:
		w.r.Status, w.r.Verdict = OK, w.found(live)
	case live > 0:
		w.r.Status, w.r.Verdict = Warning, "a client finds a live host, but "+w.problem(bad, chance, live)
	case unknown > 0:
		w.r.Status, w.r.Verdict = Unknown, fmt.Sprintf("none of %s could be asked from here", plural(dead+unknown, "host"))
	case dead > 0:
		w.r.Status, w.r.Code = Critical, codeNoHost
		w.r.Verdict = fmt.Sprintf("a client finds %s and none that serves", plural(dead, "host"))
		if dead == 1 {
			w.r.Verdict = fmt.Sprintf("a client finds one host, and it does not serve: %s", w.r.Hosts[0].Error)
		}
	default:
		w.nothingFound(marked(Fail), marked(Open))
	}
	if ctx.Err() != nil && w.r.Status != OK {
		w.r.Status, w.r.Code = Unknown, ""
		w.r.Verdict = "there was not enough time to find out everything; so far: " + w.r.Verdict
	}
}

// found is the verdict where all is well.
func (w *walk) found(live int) string {
	first := w.r.Hosts[0]
	under := ""
	if first.Suffix != "" {
		under = " under " + first.Suffix
	}
	if live == 1 || first.Chance == 1 {
		return fmt.Sprintf("a client finds %s%s and reaches it at its first try", first.Endpoint(), under)
	}
	return fmt.Sprintf("a client finds %s%s and reaches whichever it tries first", plural(live, "host"), under)
}

// problem is what is wrong although a client finds a live host: that its first try may fail weighs most.
func (w *walk) problem(at int, chance float64, live int) string {
	const tolerance = 1e-9
	if chance < tolerance {
		return fmt.Sprintf("every client first tries one that does not serve: %s", w.firstDead())
	}
	if chance < 1-tolerance {
		return fmt.Sprintf("%.0f %% of clients first try one that does not serve: %s", (1-chance)*100, w.firstDead())
	}
	s := w.r.Steps[at]
	return s.about() + s.Text
}

// firstDead is the host that does not serve and that most clients meet.
func (w *walk) firstDead() string {
	i := slices.IndexFunc(w.r.Hosts, func(h Host) bool { return h.used && h.Result != "passed" && h.Chance > 0 })
	if i < 0 {
		return ""
	}
	return w.r.Hosts[i].Endpoint()
}

// about is what a step's text is about, where the text does not say it itself.
func (s Step) about() string {
	switch s.Part {
	case partHosts, partRandom, partOthers, partTools, partServers:
		return ""
	}
	return s.Part + ": "
}

// nothingFound is the verdict without a host: the first thing that fails, and the code that a client shows for it.
func (w *walk) nothingFound(fail, open int) {
	if fail < 0 {
		w.r.Status, w.r.Verdict = Unknown, "it could not be found out what a client finds"
		if open >= 0 {
			w.r.Verdict += ": " + w.r.Steps[open].Text
		}
		return
	}
	s := w.r.Steps[fail]
	w.r.Status, w.r.Code = Critical, s.Code
	w.r.Verdict = "a client finds no host: " + s.about() + s.Text
	// The case that costs people days is worth more than the bare fact before it.
	if i := slices.IndexFunc(w.r.Steps, func(s Step) bool { return s.Part == partTools && s.Mark == Fail }); i >= 0 {
		w.r.Verdict = "a client finds no host: " + w.r.Steps[i].Text
	}
}
