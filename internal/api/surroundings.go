package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/core/reach"
	"github.com/baton-db/baton/internal/timeline"
)

// Around is where the server finds what lies between the clients and the servers.
type Around interface {
	// Surroundings has all agents read their hosts. It waits for none of them longer
	// than a person would, and says of whom nothing came.
	Surroundings(ctx context.Context) Surroundings
}

// Surroundings is what lies between the clients and the servers.
type Surroundings struct {
	Hosts []reach.Host
	// Limits are those by which a server is found to be down, Deadline that of a connect.
	Limits   detect.Limits
	Deadline time.Duration
	// Tickle says that clients of a host that is gone are told of it.
	Tickle bool
}

// host is the host of a node, if anything is known of it.
func (s Surroundings) host(n cluster.NodeName) (reach.Host, bool) {
	for _, h := range s.Hosts {
		if h.Node == n && h.Why == "" {
			return h, true
		}
	}
	return reach.Host{}, false
}

// acknowledged is how long after a new primary served its first transaction was
// acknowledged: until then a lossless cluster answers no commit.
func acknowledged(s timeline.Switch) (timeline.Millis, bool) {
	if !s.Ended || s.Serving == nil || s.Kind != timeline.Failover && s.Kind != timeline.Switchover {
		return 0, false
	}
	for _, m := range s.Milestones {
		if m.Name == timeline.Marked {
			return max(m.At-*s.Serving, 0), true
		}
	}
	return 0, false
}

// afterwards are what some clients wait for when the new primary serves already.
func afterwards(s Snapshot, around Surroundings, b Budget, past []timeline.Switch) (all []Stretch) {
	if s.Settings.Durability == cluster.Lossless {
		all = append(all, before("the first commit: until a replica acknowledges", acknowledged, past, "switches that tell of it"))
	}
	neighbours := neighboursOf(around.Hosts)
	if len(neighbours.asked) > 0 {
		all = append(all, neighbours.stretches(past)...)
	}
	return append(all, idle(around, b, past)...)
}

// neighbours are the hosts of nodes that would ask for the cluster's addresses
// themselves, as those of clients in the same network do.
type neighbours struct {
	asked, deaf []string
	least, most time.Duration // for how long one goes on with what is not true any more
	unknown     bool          // of one of them that is not known
}

func neighboursOf(hosts []reach.Host) (n neighbours) {
	for _, h := range hosts {
		here, deaf := false, false
		for _, p := range h.Paths {
			if !p.Neighbour() {
				continue
			}
			here = true
			heeds, known := reach.Heeds(p.Settings, p.Address.Is6())
			deaf = deaf || known && !heeds || p.Entry == "permanent"
			least, most, known := reach.Stale(p.Settings)
			if n.unknown = n.unknown || !known; !known {
				continue
			}
			if n.most = max(n.most, most); n.least == 0 || least < n.least {
				n.least = least
			}
		}
		if here {
			n.asked = append(n.asked, string(h.Node))
		}
		if deaf {
			n.deaf = append(n.deaf, string(h.Node))
		}
	}
	return n
}

func (n neighbours) stretches(past []timeline.Switch) []Stretch {
	heard := before("neighbours that heed the announcement", timeline.Seen, past, "switch that another node has watched")
	heard.From += fmt.Sprintf(", as seen from other nodes; such neighbours are %s", strings.Join(n.asked, ", "))
	if len(n.deaf) > 0 {
		heard.From += fmt.Sprintf(", of which %s would not: see the settings below", strings.Join(n.deaf, ", "))
	}
	alone := Stretch{Name: "neighbours that do not", From: "their settings cannot be read"}
	if n.most > 0 {
		most := timeline.Millis(n.most)
		alone.Takes = &most
		alone.From = fmt.Sprintf("at most, %s at the least: settings of %s, as any Linux client with the same", n.least.Round(time.Second), strings.Join(n.asked, ", "))
	}
	return []Stretch{heard, alone}
}

// idle is what clients wait for whose connection was idle when the primary's host went.
func idle(around Surroundings, b Budget, past []timeline.Switch) []Stretch {
	h, known := around.host(b.Primary)
	if !known || len(h.Paths) == 0 {
		return nil
	}
	told := Stretch{Name: "idle connections to a host that is gone"}
	switch tells := before(told.Name, tickled, past, ""); {
	case !around.Tickle:
		told.From = "connections.tickle is off: until the client's own keepalive, or its next statement"
	case tells.Takes == nil:
		told.From = "they are told (connections.tickle); the history has no such switch"
	default:
		told = tells
		told.From += ": all are told"
	}
	all := []Stretch{told}
	if c := h.Clients; c != nil {
		all = append(all, ofClients(c)...)
	}
	return append(all, ofServerSide(h)...)
}

func tickled(s timeline.Switch) (timeline.Millis, bool) {
	for _, sp := range s.Spans {
		if sp.Step == timeline.StepTickle && sp.Node == s.To && sp.Outcome == timeline.OK {
			return sp.Took, true
		}
	}
	return 0, false
}

// ofClients says what was seen of the clients' own keepalive. Nothing else of it can
// be seen from a server.
func ofClients(c *reach.Clients) []Stretch {
	p := Stretch{Name: "those that the tickle misses: the client's own keepalive"}
	switch h := c.Heard; {
	case c.Connections == 0:
		p.From = "no client is connected now"
	case h == nil || h.Idle == 0:
		p.From = "not known: no connection was idle while the agent looked"
	case h.Probed == 0:
		p.From = fmt.Sprintf("none has asked on any of %d idle connections in %s: off, or longer than that", h.Idle, text(h.Over))
	default:
		p.From = fmt.Sprintf("%d of %d idle connections have asked in %s", h.Probed, h.Idle, text(h.Over))
		if h.Every > 0 {
			every := timeline.Millis(time.Duration(h.Every) * time.Millisecond)
			p.Takes = &every
			p.From += ", this long apart at most; the others: off, or longer"
		}
	}
	return []Stretch{p}
}

// ofServerSide says when a server finds out that a client is gone.
func ofServerSide(h reach.Host) []Stretch {
	c := h.Clients
	if c == nil || c.Connections == 0 {
		return nil
	}
	p := Stretch{Name: "the other way round: until the server knows that a client is gone"}
	ends, known := reach.KeepaliveEnds(h.TCP)
	switch {
	case c.Kept == 0 && c.Unwatched > 0:
		p.From = fmt.Sprintf("never: none of %d connections has a keepalive timer", c.Connections)
		if wait := waitOf(h); wait > 0 {
			ended := timeline.Millis(wait)
			p.Takes, p.From = &ended, p.From+"; wait_timeout ends it"
		}
	case c.Kept == 0:
		p.From = "not known: all connections are busy"
	default:
		if s := h.Server; s != nil && s.Keepalive != nil && *s.Keepalive > 0 {
			ends += time.Duration(*s.Keepalive-h.TCP["tcp_keepalive_time"]) * time.Second
		}
		if known {
			ended := timeline.Millis(ends)
			p.Takes = &ended
		}
		p.From = fmt.Sprintf("keepalive runs on %d of %d connections (the longest has %s to go), %d have no timer; its sessions and locks stay so long", c.Kept, c.Connections, text(c.Longest), c.Unwatched)
	}
	return []Stretch{p}
}

func waitOf(h reach.Host) time.Duration {
	if h.Server == nil || h.Server.Wait == nil {
		return 0
	}
	return time.Duration(*h.Server.Wait) * time.Second
}

func text(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d >= 10*time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
}
