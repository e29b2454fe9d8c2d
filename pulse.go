package kms

import (
	"fmt"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// pulseNames is how many pools Pulse names; of the others it says how many they are.
const pulseNames = 3

// Pulse is one line about the KMS hosts of the process, for who looks after it, and an error if a pool no longer asks its
// hosts, which nothing but a new process mends. Dead hosts are no error: answering in spite of them is what kms is for.
func Pulse() (string, error) {
	all := pools()
	if len(all) == 0 {
		return "no kms block in the Corefile", nil
	}
	return pulse(all), stalled(all)
}

// pulse counts the hosts of all by their state, and names the pools that nobody is left in.
func pulse(all []engine.Pool) string {
	count := make(map[pool.State]int)
	var suspects, dead []string
	for _, p := range all {
		for _, h := range p.Hosts() {
			count[h.State]++
		}
		switch p.Snapshot().Condition {
		case pool.SelfSuspected:
			suspects = append(suspects, p.Name)
		case pool.AllDown:
			dead = append(dead, p.Name)
		}
	}
	var parts []string
	for _, s := range pool.States() {
		if count[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "none")
	}
	line := "KMS hosts: " + strings.Join(parts, ", ")
	if len(suspects) > 0 {
		line += "; this machine suspects its own network in " + first(suspects)
	}
	if len(dead) > 0 {
		line += "; nobody is left in " + first(dead)
	}
	return line
}

// first is the first names of many.
func first(names []string) string {
	if len(names) > pulseNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:pulseNames], ", "), len(names)-pulseNames)
	}
	return strings.Join(names, ", ")
}

func stalled(all []engine.Pool) error {
	for _, p := range all {
		if p.Stalled() {
			return fmt.Errorf("pool %s: no probe ended for %s: it no longer asks its hosts", p.Name, p.Age().Round(1e9))
		}
	}
	return nil
}
