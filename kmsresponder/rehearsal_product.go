package kmsresponder

import (
	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// The thresholds: how many machines a host must know before a client of it is
// activated.
const (
	ClientThreshold = 25 // Windows client editions
	ServerThreshold = 5  // Windows Server, and Office
)

// rehearsalProducts has the product groups that a rehearsal is about. The ids
// were made up for it, "rehearsal" in ASCII, and no product has them.
var rehearsalProducts = [...]kmswire.GUID{
	config.ClientVL: kmswire.MustGUID("00000001-7265-6865-6172-73616c000000"),
	config.ServerA:  kmswire.MustGUID("00000002-7265-6865-6172-73616c000000"),
	config.ServerB:  kmswire.MustGUID("00000003-7265-6865-6172-73616c000000"),
	config.ServerC:  kmswire.MustGUID("00000004-7265-6865-6172-73616c000000"),
}

// rehearsalEdition is the activation id of every rehearsal client, made up too.
var rehearsalEdition = kmswire.MustGUID("00000000-7265-6865-6172-73616c000000")

// ProductGroup returns the group that the KMSID of a rehearsal client stands
// for, and whether it is one. The ids of real products are not known here.
func ProductGroup(id kmswire.GUID) (group config.Key, known bool) {
	for k := config.ClientVL; k <= config.ServerC; k++ {
		if rehearsalProducts[k] == id {
			return k, true
		}
	}
	return config.Any, false
}

// productID returns the KMSID of a rehearsal client of group.
func productID(group config.Key) kmswire.GUID { return rehearsalProducts[group] }

// activates reports whether a host with key serves the products that id stands
// for: those of its own group and of the groups below. A host whose key is Any
// serves whatever it is asked.
func activates(key config.Key, id kmswire.GUID) bool {
	group, known := ProductGroup(id)
	return key == config.Any || known && group <= key
}
