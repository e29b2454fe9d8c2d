package plugin

import (
	"context"
	"strings"

	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/request"
)

// Metadata implements metadata.Provider, for names that kms owns:
//
//	kms/zone       the zone of the block that answers
//	kms/condition  calm, unsettled, self-suspected or all-down
//	kms/hosts      the hosts that the pool offers, in the order of their tiers, with commas between
func (h *Handler) Metadata(ctx context.Context, state request.Request) context.Context {
	o := h.owners[state.Name()]
	if o == nil {
		return ctx
	}
	metadata.SetValueFunc(ctx, "kms/zone", func() string { return o.zone })
	metadata.SetValueFunc(ctx, "kms/condition", func() string { return o.site.Pool.Answer().Condition.String() })
	metadata.SetValueFunc(ctx, "kms/hosts", func() string {
		var hosts []string
		for _, r := range o.site.Pool.Answer().Records {
			hosts = append(hosts, r.Endpoint)
		}
		return strings.Join(hosts, ",")
	})
	return ctx
}
