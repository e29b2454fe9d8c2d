package pool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// What a Memory is in a file. Numbers may come to mean something else in another version, so words stand for them.
type (
	memoryJSON struct {
		Kind      string       `json:"kind"`
		Announced bool         `json:"announced,omitempty"`
		Health    healthJSON   `json:"health"`
		Drainage  *Drainage    `json:"drainage,omitempty"`
		Addresses []netip.Addr `json:"addresses,omitempty"`
		Since     time.Time    `json:"since,omitzero"`
		Began     time.Time    `json:"began,omitzero"`
		Last      *resultJSON  `json:"last,omitempty"` // absent before the first probe
		Reason    string       `json:"reason,omitempty"`
		At        time.Time    `json:"at"`
	}
	healthJSON struct {
		Believed string `json:"believed"`
		Drained  bool   `json:"drained,omitempty"`
		Passes   int    `json:"passes"`
		Fails    int    `json:"fails"`
		Recent   int    `json:"recent"`
		Missed   int    `json:"missed"`
	}
	resultJSON struct {
		Outcome string         `json:"outcome"`
		Stage   string         `json:"stage"`
		Error   string         `json:"error,omitempty"`
		Address netip.AddrPort `json:"address,omitzero"`
		Start   time.Time      `json:"start"`
		RTT     time.Duration  `json:"rtt_ns"`
		Syntax  string         `json:"syntax,omitempty"`
	}
)

// MarshalJSON writes all of m. Of errors it keeps the text.
func (m Memory) MarshalJSON() ([]byte, error) {
	h := m.Health
	out := memoryJSON{Kind: m.Kind.String(), Announced: m.Announced, Drainage: m.Drainage, Addresses: m.Addresses,
		Since: m.Since, Began: m.Began, Reason: text(m.Reason), At: m.At,
		Health: healthJSON{h.believed.String(), h.drained, h.passes, h.fails, h.recent, h.missed}}
	if r := m.Last; !r.Start.IsZero() {
		out.Last = &resultJSON{r.Outcome.String(), r.Stage.String(), text(r.Err), r.Address, r.Start, r.RTT, r.Syntax}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote, and takes nothing else: half a memory would be worse than none.
func (m *Memory) UnmarshalJSON(b []byte) error {
	var in memoryJSON
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(&in)
	if err != nil {
		return fmt.Errorf("what is remembered of a host: %w", err)
	}
	out := Memory{Announced: in.Announced, Drainage: in.Drainage, Addresses: in.Addresses, Since: in.Since, Began: in.Began,
		Reason: failure(in.Reason), At: in.At}
	if out.Kind, err = config.ParseProbeKind(in.Kind); err != nil {
		return fmt.Errorf("what is remembered of a host: %w", err)
	}
	if out.Health, err = in.Health.health(); err != nil {
		return fmt.Errorf("what is remembered of a host: %w", err)
	}
	if in.Last != nil {
		if out.Last, err = in.Last.result(); err != nil {
			return fmt.Errorf("what is remembered of a host: last probe: %w", err)
		}
	}
	if len(out.Addresses) > config.MaxAddresses || slices.ContainsFunc(out.Addresses, func(a netip.Addr) bool { return !a.IsValid() }) {
		return fmt.Errorf("what is remembered of a host: addresses %v: at most %d", out.Addresses, config.MaxAddresses)
	}
	*m = out
	return nil
}

// health is j, if some script of events leads there.
func (j healthJSON) health() (Health, error) {
	h := Health{drained: j.Drained, passes: j.Passes, fails: j.Fails, recent: j.Recent, missed: j.Missed}
	var err error
	if h.believed, err = parse("state", []State{Unchecked, Up, Suspect, Down, Claimed}, j.Believed); err != nil {
		return Health{}, err
	}
	for _, n := range []int{h.passes, h.fails, h.missed, h.recent * (100 / window)} {
		if n < 0 || n > 100 {
			return Health{}, fmt.Errorf("counts %+v: none is below 0 or above 100, and recent not above %d", j, window)
		}
	}
	return h, nil
}

func (j resultJSON) result() (probe.Result, error) {
	r := probe.Result{Err: failure(j.Error), Address: j.Address, Start: j.Start, RTT: j.RTT, Syntax: j.Syntax}
	var errOutcome, errStage error
	r.Outcome, errOutcome = parse("outcome", probe.Outcomes(), j.Outcome)
	r.Stage, errStage = parse("stage", []probe.Stage{probe.Resolve, probe.Connect, probe.Bind}, j.Stage)
	return r, errors.Join(errOutcome, errStage)
}

// parse is the one of all whose word is s.
func parse[T fmt.Stringer](what string, all []T, s string) (T, error) {
	for _, v := range all {
		if v.String() == s {
			return v, nil
		}
	}
	var none T
	return none, fmt.Errorf("%s %q: one of %v", what, s, all)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func failure(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}
