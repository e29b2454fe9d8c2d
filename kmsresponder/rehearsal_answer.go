package kmsresponder

import (
	"net"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// maxSkew is how far the clocks of a client and a host may be apart.
const maxSkew = 4 * time.Hour

// answer answers one message of a client.
func (r *Rehearsal) answer(from net.Addr, message []byte) ([]byte, kmswire.HRESULT) {
	rules := r.rules()
	secret := newSealer(rules.Secret)
	q, v, err := secret.openRequest(message)
	if err != nil {
		if rules.Log != nil {
			rules.Log(foreignLine(from, v, err))
		}
		return nil, kmswire.InvalidData
	}
	response, hr := r.respond(rules, q, time.Now())
	if rules.Log != nil {
		rules.Log(requestLine(from, hr, q))
	}
	if hr != kmswire.OK {
		return nil, hr
	}
	return secret.response(v, response), kmswire.OK
}

// Respond is what the host answers a request at now, for those who have no
// message to be opened and sealed, and a time of their own.
func (r *Rehearsal) Respond(q kmswire.RequestV4, now time.Time) (kmswire.ResponseV4, kmswire.HRESULT) {
	return r.respond(r.rules(), q, now)
}

func (r *Rehearsal) respond(rules *Rehearsal, q kmswire.RequestV4, now time.Time) (kmswire.ResponseV4, kmswire.HRESULT) {
	count, hr := r.decide(rules.Key, q, now)
	if hr != kmswire.OK {
		return kmswire.ResponseV4{}, hr
	}
	return kmswire.ResponseV4{
		HostID:             rules.hostID(),
		CMID:               q.CMID,
		ClientTime:         q.ClientTime,
		Count:              uint32(count),
		ActivationInterval: minutes(rules.ActivationInterval, DefaultActivationInterval),
		RenewalInterval:    minutes(rules.RenewalInterval, DefaultRenewalInterval),
	}, kmswire.OK
}

// decide returns what a request comes to, and the count that it is answered. A
// request that is refused is not counted. Any count is a success: whether it is
// enough is for the client to decide.
func (r *Rehearsal) decide(key config.Key, q kmswire.RequestV4, now time.Time) (count int, hr kmswire.HRESULT) {
	// Times far from each other have no difference that a Duration could hold,
	// but one that is cut to the largest.
	if skew := now.Sub(q.ClientTime.Time()); skew > maxSkew || skew < -maxSkew {
		return 0, kmswire.ClockSkew
	}
	if !activates(key, q.KMSID) {
		return 0, kmswire.HostUnusable
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients == nil {
		r.clients = make(census)
	}
	count, ok := r.clients.count(q.AppID, q.CMID, q.Required, now)
	if !ok {
		return 0, kmswire.HostUnusable
	}
	return count, kmswire.OK
}

// hostID is where a KMS host puts its product id. Ours can be mistaken for none.
func (r *Rehearsal) hostID() string {
	if r.Name == "" {
		return "REHEARSAL-ONLY"
	}
	return "REHEARSAL-ONLY " + r.Name
}

// minutes returns d in whole minutes, as the protocol has it, or usual if d is
// 0. It is never less than one: a client must not be told to ask without end.
func minutes(d, usual time.Duration) uint32 {
	if d == 0 {
		d = usual
	}
	return uint32(max(d/time.Minute, 1))
}
