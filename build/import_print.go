package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// corefile is the plan as kms blocks. Lines that a Corefile must not have are comments.
func (p *importPlan) corefile(addresses bool) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n", p.summary())
	for _, n := range p.notes {
		fmt.Fprintf(&out, "# %s\n", inComment(n))
	}
	for _, b := range p.blocks {
		text := b.corefile(addresses)
		if b.taken() == 0 {
			text = "# no host is left for this block:\n" + commentedOut(text)
		}
		fmt.Fprintf(&out, "\n%s", text)
	}
	return out.String()
}

func (p *importPlan) summary() string {
	taken, all := 0, 0
	for _, b := range p.blocks {
		taken += b.taken()
		all += len(b.records)
	}
	return inComment(fmt.Sprintf("KMS %s - %d of %d records taken over from %s", p.status(), taken, all, p.source))
}

func (b *blockPlan) taken() int {
	n := 0
	for _, t := range b.records {
		if len(t.drop) == 0 {
			n++
		}
	}
	return n
}

func (b *blockPlan) corefile(addresses bool) string {
	var out strings.Builder
	out.WriteString("kms")
	for _, z := range b.zones {
		fmt.Fprintf(&out, " %s", withoutDot(z))
	}
	out.WriteString(" {\n")
	for _, n := range b.notes {
		fmt.Fprintf(&out, "    # %s\n", inComment(n))
	}
	for _, t := range b.records {
		line := t.line(addresses)
		if len(t.drop) > 0 {
			line = "# " + line
		}
		if remarks := slices.Concat(t.drop, t.notes); len(remarks) > 0 {
			line += "  # " + inComment(strings.Join(remarks, "; "))
		}
		fmt.Fprintf(&out, "    %s\n", line)
	}
	if d, note := ttlFor(b.ttl); note == "" {
		fmt.Fprintf(&out, "    ttl %s\n", d)
	} else {
		fmt.Fprintf(&out, "    # ttl: %s\n", note)
	}
	if len(b.ns) > 0 {
		out.WriteString("    # as the zone has them: put the name of this server first\n    ns")
		for _, name := range b.ns {
			fmt.Fprintf(&out, " %s", withoutDot(name))
		}
		out.WriteByte('\n')
	}
	out.WriteString("}\n")
	return out.String()
}

// line is the host line of t.
func (t *taking) line(addresses bool) string {
	name := withoutDot(t.host.Name)
	if t.host.Port != config.DefaultPort {
		name = fmt.Sprintf("%s:%d", name, t.host.Port)
	}
	line := fmt.Sprintf("host %s priority %d weight %d", name, t.host.Priority, t.host.Weight)
	if addresses && len(t.drop) == 0 {
		for _, a := range t.given() {
			line += fmt.Sprintf(" address %s", a)
		}
	}
	return line
}

// given is the addresses that a Corefile may give the host.
func (t *taking) given() []netip.Addr {
	var all []netip.Addr
	for _, a := range t.known {
		h := t.host
		h.Addresses = append(slices.Clone(all), a)
		if h.Validate() == nil {
			all = append(all, a)
		}
	}
	return all
}

// withoutDot is a name as one writes it.
func withoutDot(name string) string { return cmp.Or(strings.TrimSuffix(name, "."), name) }

// inComment is s on one line: what comes from a zone or a network must not end a comment.
func inComment(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func commentedOut(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		fmt.Fprintf(&out, "# %s", line)
	}
	return out.String()
}

// writeJSON prints the plan for programs, with the blocks as text among it.
func (p *importPlan) writeJSON(w io.Writer, addresses bool) error {
	type record struct {
		Target    string        `json:"target"`
		Host      string        `json:"host"`
		Port      uint16        `json:"port"`
		Priority  uint16        `json:"priority"`
		Weight    uint16        `json:"weight"`
		Addresses []netip.Addr  `json:"addresses,omitempty"`
		Taken     bool          `json:"taken"`
		Reasons   []string      `json:"reasons,omitempty"`
		Notes     []string      `json:"notes,omitempty"`
		Result    *probe.Result `json:"result,omitempty"`
	}
	type block struct {
		Zones   []string `json:"zones"`
		TTL     uint32   `json:"ttl"`
		Records []record `json:"records"`
		Notes   []string `json:"notes,omitempty"`
	}
	blocks := make([]block, 0, len(p.blocks))
	for _, b := range p.blocks {
		out := block{Zones: b.zones, TTL: b.ttl, Notes: b.notes}
		for _, t := range b.records {
			out.Records = append(out.Records, record{t.target, t.host.Name, t.host.Port, t.host.Priority, t.host.Weight, t.known,
				len(t.drop) == 0, t.drop, t.notes, t.result})
		}
		blocks = append(blocks, out)
	}
	return printJSON(w, struct {
		Version  int      `json:"version"`
		Status   string   `json:"status"`
		Source   string   `json:"source"`
		Notes    []string `json:"notes,omitempty"`
		Blocks   []block  `json:"blocks"`
		Corefile string   `json:"corefile"`
	}{1, p.status().String(), p.source, p.notes, blocks, p.corefile(addresses)})
}
