package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// announcer is a host that announces itself, with a signed update for each change.
type announcer struct {
	conn   net.Conn
	buf    []byte
	name   string
	port   string
	weight int
}

func newAnnouncer(s updateServer, i int, port string) (*announcer, error) {
	conn, err := net.Dial("udp", "127.0.0.1:"+s.port)
	if err != nil {
		return nil, err
	}
	return &announcer{conn: conn, buf: make([]byte, 4096), name: fmt.Sprintf("host%02d.%s", i, updateZone), port: port, weight: 1}, nil
}

// record is the SRV record of c as it is now.
func (c *announcer) record() dns.RR {
	rr, err := dns.NewRR(fmt.Sprintf("_vlmcs._tcp.%s 30 IN SRV 0 %d %s %s", updateZone, c.weight, c.port, c.name))
	if err != nil {
		panic(err) // it is made of our own words
	}
	return rr
}

// introduction is the first update of c: its address, and its record.
func (c *announcer) introduction() *dns.Msg {
	address, err := dns.NewRR(c.name + " 30 IN A 127.0.0.1")
	if err != nil {
		panic(err)
	}
	m := new(dns.Msg)
	m.SetUpdate(updateZone)
	m.Insert([]dns.RR{address, c.record()})
	return m
}

// change is an update that gives c another weight: one record goes, one comes.
func (c *announcer) change() *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate(updateZone)
	m.Remove([]dns.RR{c.record()})
	c.weight = c.weight%1000 + 1
	m.Insert([]dns.RR{c.record()})
	return m
}

// updateTries is how often an update is sent before it is given up: beside dnsperf the kernel drops some on their way in.
const updateTries = 20

// exchange sends m, signed, and waits for the answer that it was done. One that got lost is sent again; to do it twice is to
// do it once.
func (c *announcer) exchange(m *dns.Msg) error {
	m.SetTsig(updateKey, dns.HmacSHA256, 300, time.Now().Unix())
	signed, _, err := dns.TsigGenerate(m, updateSecret, "", false)
	if err != nil {
		return err
	}
	for range updateTries {
		if _, err := c.conn.Write(signed); err != nil {
			return err
		}
		reply, err := c.answer(m.Id)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err == nil && reply.Rcode != dns.RcodeSuccess {
			err = fmt.Errorf("an update of %s was answered:\n%v", c.name, reply)
		}
		return err
	}
	return fmt.Errorf("an update of %s was not answered", c.name)
}

// answer waits half a second for the answer to the message called id. One to an earlier message, sent twice, is dropped.
func (c *announcer) answer(id uint16) (*dns.Msg, error) {
	c.conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	for {
		n, err := c.conn.Read(c.buf)
		if err != nil {
			return nil, err
		}
		reply := new(dns.Msg)
		if err := reply.Unpack(c.buf[:n]); err != nil || reply.Id == id {
			return reply, err
		}
	}
}

// announce has n of the hosts change their weights for that long, each as soon as it was answered. It returns how many
// changes were answered, and in what time.
func (a *updateArena) announce(ctx context.Context, s updateServer, n int, lasting time.Duration) (done int, took time.Duration, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	counts := make([]int, n)
	began := time.Now()
	for i := range n {
		wg.Go(func() {
			if err := a.announceOne(ctx, s, i, began.Add(lasting), &counts[i]); err != nil {
				fail(err)
			}
		})
	}
	wg.Wait()
	took = time.Since(began)
	for _, c := range counts {
		done += c
	}
	return done, took, context.Cause(ctx)
}

func (a *updateArena) announceOne(ctx context.Context, s updateServer, i int, until time.Time, count *int) error {
	c, err := newAnnouncer(s, i, a.ports[i])
	if err != nil {
		return err
	}
	defer c.conn.Close()
	// Where the last run left it is not known: all that this host announced goes, and it begins anew. That does not count.
	m := new(dns.Msg)
	m.SetUpdate(updateZone)
	if err := c.removeAll(m, s); err != nil {
		return err
	}
	m.Insert([]dns.RR{c.record()})
	if err := c.exchange(m); err != nil {
		return err
	}
	for ctx.Err() == nil && time.Now().Before(until) {
		if err := c.exchange(c.change()); err != nil {
			return err
		}
		*count++
	}
	return nil
}

// removeAll adds to m the removal of every record of c that s answers.
func (c *announcer) removeAll(m *dns.Msg, s updateServer) error {
	answer, _, err := ask(records{}, s.port, updateZone)
	if err != nil {
		return err
	}
	for _, rr := range answer.Answer {
		if srv, ok := rr.(*dns.SRV); ok && dns.CanonicalName(srv.Target) == c.name {
			m.Remove([]dns.RR{srv})
		}
	}
	return nil
}
