package status

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// hostsBody is what the page of hosts shows: those of all pools, or some of them, a few dozen at a time.
type hostsBody struct {
	Pools      []Pool // with the hosts to be shown in full
	All        []Pool // with every host
	Pool, Host string // only these
	Ill        bool   // only those that are not up
	Total      int    // hosts that match
	First      int    // the numbers of the first and the last host shown
	Last       int
	Prev, Next string // the neighbouring pages; empty if there is none
}

// hosts is GET /hosts.
func (s *Site) hosts(w http.ResponseWriter, r *http.Request) {
	q := parseQuery(r, "pool", "host", "ill", "offset")
	b := hostsBody{Pool: q.text("pool", maxName), Host: q.text("host", maxName), Ill: q.is("ill")}
	offset := q.number("offset", 0, MaxRows)
	if q.err != nil {
		s.refusePage(w, http.StatusBadRequest, q.err)
		return
	}
	report := s.report()
	b.fill(report.Pools, offset)
	if !b.known() {
		what := "host " + b.Host
		if b.Host == "" {
			what = "pool " + b.Pool
		}
		s.refusePage(w, http.StatusNotFound, fmt.Errorf("there is no %s: the page of all hosts lists those that are", what))
		return
	}
	title := "Hosts"
	if b.Host != "" {
		title = limited(b.Host, 60)
	}
	s.show(w, http.StatusOK, "hosts", page{Report: report, Title: title, Here: "/hosts", Every: 2, Body: b})
}

// known is whether there is the pool and the host that the page is of.
func (b *hostsBody) known() bool {
	return b.Pool == "" && b.Host == "" || slices.ContainsFunc(b.All, func(p Pool) bool {
		return (b.Pool == "" || p.Name == b.Pool) &&
			(b.Host == "" || slices.ContainsFunc(p.Hosts, func(h Host) bool { return h.Endpoint == b.Host }))
	})
}

// fill chooses from pools those to be shown, from the one numbered offset on.
func (b *hostsBody) fill(pools []Pool, offset int) {
	b.All = pools
	for _, p := range pools {
		if b.Pool != "" && p.Name != b.Pool {
			continue
		}
		some := p
		some.Hosts = nil
		for _, h := range p.Hosts {
			if b.Host != "" && h.Endpoint != b.Host || b.Ill && h.State == "up" {
				continue
			}
			if b.Total >= offset && b.Total < offset+pageHosts {
				some.Hosts = append(some.Hosts, h)
			}
			b.Total++
		}
		// A pool that has nobody is shown where its hosts would stand.
		if len(some.Hosts) > 0 || len(p.Hosts) == 0 && b.Host == "" && !b.Ill && offset == 0 {
			b.Pools = append(b.Pools, some)
		}
	}
	b.First, b.Last = offset+1, min(offset+pageHosts, b.Total)
	if offset > 0 {
		b.Prev = b.link(max(0, offset-pageHosts))
	}
	if b.Last < b.Total {
		b.Next = b.link(offset + pageHosts)
	}
}

// link is the same page from another host on.
func (b *hostsBody) link(offset int) string {
	v := make(url.Values)
	for name, value := range map[string]string{"pool": b.Pool, "host": b.Host} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if b.Ill {
		v.Set("ill", "true")
	}
	if offset > 0 {
		v.Set("offset", strconv.Itoa(offset))
	}
	if len(v) == 0 {
		return "/hosts"
	}
	return "/hosts?" + v.Encode()
}
