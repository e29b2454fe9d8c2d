package discover

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// TestRemedy: each way to be dead has something to be done about it.
func TestRemedy(t *testing.T) {
	for _, tt := range []struct {
		outcome probe.Outcome
		stage   probe.Stage
		waits   bool
		want    string
	}{
		{probe.Refused, probe.Connect, false, "start the KMS service on it"},
		{probe.Unreachable, probe.Connect, false, "open its TCP port"},
		{probe.Timeout, probe.Connect, true, "switch the host on"},
		{probe.Timeout, probe.Bind, false, "the host hangs"},
		{probe.Closed, probe.Bind, false, "another program has that port"},
		{probe.Rejected, probe.Bind, false, "another program has that port"},
		{probe.Garbled, probe.Bind, false, "another program has that port"},
	} {
		h := Host{Addresses: []Address{
			{Address: "2001:db8::10", NoRoute: true, Result: probe.Result{Outcome: probe.Unreachable, Err: errors.New("no network")}},
			{Address: "192.0.2.10", Result: probe.Result{Outcome: tt.outcome, Stage: tt.stage, Err: errors.New("x")}},
		}}
		h.weigh()
		if got := h.remedy(false); h.Result != "dead" || h.waits() != tt.waits || !strings.Contains(got[0],
			tt.want) || !strings.Contains(got[1], "take its SRV record away") {
			t.Errorf("%s at %s: %s, waits %t, %q", tt.outcome, tt.stage, h.Result, h.waits(), got)
		}
	}
}

// TestWeigh: what this machine cannot try says nothing about the host.
func TestWeigh(t *testing.T) {
	noRoute := Address{Address: "2001:db8::10", NoRoute: true, Result: probe.Result{Outcome: probe.Unreachable,
		Err: errors.New("no network")}}
	passed := Address{Address: "192.0.2.10", Result: probe.Result{Outcome: probe.Passed, Syntax: "NDR64",
		Address: netip.MustParseAddrPort("192.0.2.10:1688")}}
	refused := Address{Address: "192.0.2.11", Result: probe.Result{Outcome: probe.Refused, Err: errors.New("refused\x1b[2J")}}
	local := Address{Address: "192.0.2.12", Result: probe.Result{Outcome: probe.Local, Err: errors.New("no descriptors")}}
	for name, tt := range map[string]struct {
		addresses   []Address
		result, err string
	}{
		"no way":            {[]Address{noRoute}, "unknown", "2001:db8::10 cannot be tried: this machine has no way to it"},
		"could not ask":     {[]Address{local, noRoute}, "unknown", "no descriptors"},
		"no way and passed": {[]Address{noRoute, passed}, "passed", ""},
		"no way and dead":   {[]Address{noRoute, refused}, "dead", `refused\x1b[2J`},
		"dead and passed":   {[]Address{refused, passed}, "passed", ""},
	} {
		h := Host{Addresses: tt.addresses}
		if h.weigh(); h.Result != tt.result || h.Error != tt.err {
			t.Errorf("%s: got %s, %q, want %s, %q", name, h.Result, h.Error, tt.result, tt.err)
		}
	}
}
