package kms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/registry"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"
)

// announced gives s the hosts that announce themselves to it, and its pool p the same. Blocks that begin with the same zone,
// as those of several views do, share what is announced.
//
// With a store that cannot be used s has no registry: what cannot be kept is not accepted.
func (l *life) announced(s *dnsface.Site, p engine.Pool) error {
	if s.Update == nil {
		return nil
	}
	if l.storePath != "" && l.store() == nil {
		return nil // which has been said
	}
	u, zone := *s.Update, s.Zones[0]
	r, err := engine.Hold(l.lease, "registry "+engine.RegistryKey(s.Block), func() (*registry.Registry, func(context.Context), error) {
		r, err := registry.New(u, engine.RegistryKey(s.Block), l.store())
		if err != nil {
			return nil, nil, err
		}
		r.OnExpired = func(c registry.Claim) {
			log.Infof("%s: %s is no longer announced: last announced %s, %s", zone, c.Endpoint(), c.Updated.UTC().Format(time.RFC3339), lastHealthy(c))
		}
		r.OnDisplaced = func(c registry.Claim) {
			log.Warningf("%s: %s made place for another: all %d places are taken, and it never passed its checks", zone, c.Endpoint(), r.Settings().Max)
		}
		r.OnTrouble = func(err error) { log.Errorf("%s: %v", zone, err) }
		return r, r.Run, nil
	})
	st := l.store()
	if err == nil {
		err = r.Readable(st)
	}
	if err != nil {
		if errors.Is(err, engine.ErrReleased) {
			return err
		}
		log.Errorf("%s: what was announced cannot be read, and no announcement is accepted until that is mended: %v", zone, err)
		return nil
	}
	l.lease.Later(func() { // one that runs may have been kept elsewhere
		if err := r.Keep(st); err != nil {
			log.Errorf("%s: what is announced cannot be kept in the store that is named now: %v", zone, err)
		}
	})
	r.Configure(u)
	l.again = append(l.again, func() { r.Configure(u) })
	s.Registry = r
	_, err = engine.Hold(l.lease, fmt.Sprintf("feed %p %p", r, p.Pool), func() (feeding, func(context.Context), error) {
		detach := r.Attach(p.Pool)
		return feeding{}, func(ctx context.Context) {
			<-ctx.Done()
			detach()
		}, nil
	})
	return err
}

// lastHealthy says when c was last seen up.
func lastHealthy(c registry.Claim) string {
	if c.Healthy.IsZero() {
		return "never passed its checks"
	}
	return "last up " + c.Healthy.UTC().Format(time.RFC3339)
}

// feeding is a pool that is fed from a registry, as the engine holds it.
type feeding struct{}
