package kms

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/transfer"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/store"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"
)

// transfers is what the blocks of one server block need to have their zones transferred.
type transfers struct {
	notify func(zone string) error // nil without the transfer plugin
	zones  map[string]int          // how many blocks of this Corefile have each zone so far, by service name
}

// zonesKey is where an instance of CoreDNS counts the zones that its blocks serve.
type zonesKey struct{}

// newTransfers is for OnStartup: only then are all plugins of the server block known.
func newTransfers(c *caddy.Controller) transfers {
	var t transfers
	if x, ok := dnsserver.GetConfig(c).Handler("transfer").(*transfer.Transfer); ok {
		t.notify = x.Notify
	}
	t.zones, _ = c.Get(zonesKey{}).(map[string]int)
	if t.zones == nil {
		t.zones = make(map[string]int)
		c.Set(zonesKey{}, t.zones)
	}
	return t
}

// transfer gives s the journals of its zones, if it has name servers for them. A reload goes on with the journal of a zone,
// whatever else changed, so that serials grow and secondaries are sent the differences.
//
// One zone may stand in several server blocks, behind views or on several addresses. Each of them has a journal of its own:
// they are told apart by their order in the Corefile.
func (l *life) transfer(s *dnsface.Site) error {
	if len(s.NS) == 0 {
		return nil
	}
	s.Journals = make(map[string]*dnsface.Journal, len(s.Zones))
	for _, zone := range s.Zones {
		name := config.ServiceName(zone)
		key := name
		if l.transfers.zones[name]++; l.transfers.zones[name] > 1 {
			key = fmt.Sprintf("%s#%d", name, l.transfers.zones[name])
		}
		feed := dnsface.Feed{Site: s, Zone: zone, Notify: l.transfers.notify}
		if st := l.store(); st != nil {
			feed.Last = func() (uint32, error) { return lastSerial(st, key) }
			feed.Keep = func(serial uint32) error { return keepSerial(st, key, serial) }
		}
		j, err := engine.Hold(l.lease, "journal "+key, func() (*dnsface.Journal, func(context.Context), error) {
			j := dnsface.NewJournal(feed)
			return j, j.Run, nil
		})
		if err != nil {
			return err
		}
		l.lease.Later(func() { j.Configure(feed) }) // one that runs may have been kept elsewhere
		s.Journals[name] = j
	}
	return nil
}

// lastSerial is the last serial of the journal called key that st has; 0 if it has none.
func lastSerial(st *store.Store, key string) (serial uint32, err error) {
	err = st.View(func(tx *store.Tx) error {
		switch value := tx.Get(store.Serials, key); len(value) {
		case 0:
		case 4:
			serial = binary.BigEndian.Uint32(value)
		default:
			return fmt.Errorf("store %s: the serial of %s has %d octets: 4 were written", st.Path(), key, len(value))
		}
		return nil
	})
	return serial, err
}

func keepSerial(st *store.Store, key string, serial uint32) error {
	return st.Update(func(tx *store.Tx) error {
		return tx.Put(store.Serials, key, binary.BigEndian.AppendUint32(nil, serial))
	})
}
