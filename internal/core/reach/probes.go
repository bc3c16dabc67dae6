package reach

import (
	"net/netip"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Counted is what a kernel has counted of one connection of a client.
type Counted struct {
	Client     netip.AddrPort
	SegmentsIn uint32 // all that came in
	DataIn     uint32 // those with data, and those with data that went out
	DataOut    uint32
	// AckAge is how long ago an acknowledgement was taken in.
	AckAge time.Duration
}

// Probes finds out which clients ask by themselves whether the server is there (TCP
// keepalive), from what is counted of their connections now and then. Such a probe
// carries nothing, and acknowledges nothing new: the kernel counts the segment and
// takes no acknowledgement in. The answer to a probe of the server's own is taken in,
// and so told apart. The zero value is ready; it remembers no more connections than
// probesLimit, and those that it cannot are left out.
type Probes struct {
	began, at cluster.Instant
	last      map[netip.AddrPort]heard
	heard     Heard
}

type heard struct {
	Counted
	idle, probed bool            // counted already
	probedAt     cluster.Instant // 0: not yet
}

// probesLimit is how many connections are remembered.
const probesLimit = 2000

// probesSlack is by how much the kernel's ages and our times may differ.
const probesSlack = 100 * time.Millisecond

// Look takes in what was counted at now.
func (p *Probes) Look(now cluster.Instant, all []Counted) {
	if p.at == 0 {
		p.began = now
	}
	next := make(map[netip.AddrPort]heard, min(len(all), probesLimit))
	for _, c := range all {
		if len(next) >= probesLimit {
			break
		}
		h := heard{Counted: c}
		if before, known := p.last[c.Client]; known && p.at != 0 {
			h = p.compare(before, c, now)
		}
		next[c.Client] = h
	}
	p.last, p.at = next, now
}

// compare tells what has come in on one connection since the last look.
func (p *Probes) compare(before heard, c Counted, now cluster.Instant) heard {
	h := before
	h.Counted = c
	if c.DataIn != before.DataIn || c.DataOut != before.DataOut || c.SegmentsIn < before.SegmentsIn {
		h.probedAt = 0 // it was used, or it is another one with the same port
		return h
	}
	if !h.idle {
		h.idle = true
		p.heard.Idle++
	}
	if c.SegmentsIn == before.SegmentsIn || c.AckAge <= now.Sub(p.at)+probesSlack {
		return h
	}
	if !h.probed {
		h.probed = true
		p.heard.Probed++
	}
	if h.probedAt != 0 {
		p.heard.Every = max(p.heard.Every, now.Sub(h.probedAt).Milliseconds())
	}
	h.probedAt = now
	return h
}

// Heard is what has been found out; nil before a second look.
func (p *Probes) Heard() *Heard {
	if p.at <= p.began {
		return nil
	}
	h := p.heard
	h.Over = p.at.Sub(p.began).Milliseconds()
	return &h
}

// Watched puts together how the kernel keeps watch over clients' connections.
type Watched struct {
	Kept, Busy bool  // the keepalive timer runs, or another one
	Expires    int64 // of the keepalive timer, in milliseconds
}

// ClientsOf counts them.
func ClientsOf(all []Watched) Clients {
	c := Clients{Connections: len(all)}
	for _, w := range all {
		switch {
		case w.Kept:
			c.Kept++
			c.Longest = max(c.Longest, w.Expires)
		case w.Busy:
			c.Busy++
		default:
			c.Unwatched++
		}
	}
	return c
}
