package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// What is worth an advice.
const (
	quickLease  = 750 * time.Millisecond // that of profile fast
	quickHang   = time.Second
	quickProbes = time.Second // 250, 100 and 50 ms apart, three of 200 ms
	muchToApply = 100 * time.Millisecond
	slowRoad    = 500 * time.Millisecond
	longCached  = 5 * time.Second
	slowAck     = 100 * time.Millisecond
	// What an idle client without keepalive waits for is without end. This is what one
	// waits for that has it, and has left the times as Linux has them.
	unsetKeepalive = 2*time.Hour + 675*time.Second
)

// advisor gathers what would shorten an outage.
type advisor struct{ all []Advice }

func (a *advisor) say(saves time.Duration, of, format string, args ...any) {
	a.all = append(a.all, Advice{Saves: timeline.Millis(saves), Of: of, Text: fmt.Sprintf(format, args...)})
}

// advice says what would shorten an outage, what saves most first.
func advice(s Snapshot, around Surroundings, b Budget, past []timeline.Switch) []Advice {
	var a advisor
	a.ofSettings(s.Settings, around)
	a.ofReplication(s.Settings, b, around, past)
	a.ofRoads(b)
	a.ofClients(b, around)
	for _, r := range StatusOf(s).Nodes {
		if slices.ContainsFunc(r.Conditions, func(c cluster.Condition) bool { return c.Reason == cluster.NotRealtime }) {
			a.say(0, "", "the agent of %s has no real-time priority: on a busy machine it renews and reacts late (failures.md, %s)", r.Name, cluster.NotRealtime)
		}
	}
	if i := slices.IndexFunc(b.Ways, func(w Way) bool { return w.Name == Planned }); i >= 0 && b.Ways[i].Total == nil {
		a.say(0, "", "what a switch takes here is not known: one planned switch (baton switchover) tells most of it")
	}
	if len(b.Ways) > 0 {
		a.most(b.Ways[0])
	}
	slices.SortStableFunc(a.all, func(x, y Advice) int { return cmp.Compare(y.Saves, x.Saves) })
	return a.all
}

func (a *advisor) ofSettings(set cluster.Settings, around Surroundings) {
	if saves := set.Lease - quickLease; saves > 0 {
		a.say(saves, "the host is gone", "timing.lease is %s: with profile fast, which needs a network without longer pauses, it is %s, and the loss of a host is noticed so much sooner", set.Lease, quickLease)
	}
	if saves := set.Hang - quickHang; saves > 0 {
		a.say(saves, "the server hangs", "timing.hang is %s: a server that hangs is taken for busy for so long; profile fast has %s", set.Hang, quickHang)
	}
	l := around.Limits
	if takes := probesTake(l, around.Deadline); l.Normal > 0 && takes > quickProbes {
		a.say(takes-quickProbes, "nobody reaches the server", "probes take up to %s to be sure (detection.normal %s, suspect %s, critical %s, %d failures, timeout.port %s); with those of profile fast it is %s", takes, l.Normal, l.Suspect, l.Critical, l.Failures, around.Deadline, quickProbes)
	}
	if set.Durability == cluster.Async && set.BackFill > 0 {
		a.say(set.BackFill, "the server dies", "durability is async: after the death of a server alone up to %s (durability.back_fill) go into fetching what only its log has; lossless mode has nothing to fetch", set.BackFill)
	}
}

func (a *advisor) ofReplication(set cluster.Settings, b Budget, around Surroundings, past []timeline.Switch) {
	for _, w := range b.Ways[:min(1, len(b.Ways))] {
		for _, p := range w.Parts {
			if p.Takes != nil && p.Name == backlog && p.Takes.D() > muchToApply {
				a.say(p.Takes.D(), "every switch", "the next primary has much to apply first (%s): more appliers on the replicas (slave_parallel_threads, replica_parallel_workers), or smaller transactions", p.From)
			}
		}
	}
	if set.Durability != cluster.Lossless {
		return
	}
	if t := timeline.TypicalOf(past, acknowledged); t.Median.D() > slowAck {
		a.say(t.Median.D(), "the first commits", "a new primary served %s before a replica acknowledged its first transaction (worst %s): look with `baton history` at how long the replicas took to follow", timeline.Duration(t.Median.D()), timeline.Duration(t.Worst.D()))
	}
	if h, ok := around.host(b.Primary); ok && h.Server != nil && h.Server.AckWait != nil {
		if wait := time.Duration(*h.Server.AckWait) * time.Microsecond; wait > slowAck {
			a.say(wait, "every commit", "each commit waits %s on the average for its acknowledgement: replicas that are nearer, or with faster disks (sync_binlog, sync_relay_log)", timeline.Duration(wait))
		}
	}
}

func (a *advisor) ofRoads(b Budget) {
	for _, r := range b.Roads {
		if r.Cached != nil && r.Cached.D() > longCached {
			a.say(r.Cached.D()-longCached, "clients that go by "+r.Name, "what %s says may be kept by clients for %s: a shorter time to live", r.Name, r.Cached.D())
		}
		if r.Led.Worst.D() > slowRoad {
			a.say(r.Led.Worst.D(), "clients that go by "+r.Name, "leading %s took up to %s: see what it waited for with `baton history`", r.Name, r.Led.Worst.D().Round(time.Millisecond))
		} else if c := r.Calls; c != nil {
			if median := time.Duration(c.Set.Median) * time.Microsecond; median > slowRoad {
				a.say(median, "clients that go by "+r.Name, "a change of %s takes %s (the median of %d calls), and no switch was slower yet: whatever answers there", r.Name, timeline.Duration(median), c.Set.Count)
			}
		}
	}
}

func (a *advisor) ofClients(b Budget, around Surroundings) {
	if n := neighboursOf(around.Hosts); len(n.deaf) > 0 && n.most > 0 {
		a.say(n.most, "clients on such hosts", "announcements of a new primary are ignored on %s (drop_gratuitous_arp, drop_unsolicited_na, or a static entry)", strings.Join(n.deaf, ", "))
	}
	h, known := around.host(b.Primary)
	if !known || len(h.Paths) == 0 || around.Tickle {
		return
	}
	saves, why := unsetKeepalive, "what a client waits that has keepalive as Linux sets it; one without waits for ever"
	if c := h.Clients; c != nil && c.Heard != nil && c.Heard.Every > 0 && c.Heard.Probed == c.Heard.Idle {
		saves, why = time.Duration(c.Heard.Every)*time.Millisecond, "how far apart the clients here ask"
	}
	a.say(saves, "idle clients of a host that is gone", "connections.tickle is off: nobody tells them that their connection is over (%s)", why)
}

// most says which part of the worst that can happen is the longest.
func (a *advisor) most(w Way) {
	if w.Total == nil {
		return
	}
	longest := slices.MaxFunc(w.Parts, func(x, y Stretch) int { return cmp.Compare(*x.Takes, *y.Takes) })
	a.say(0, "", "if %s, most of it is: %s, %s of %s", w.Name, longest.Name, timeline.Duration(longest.Takes.D()), timeline.Duration(w.Total.D()))
}
