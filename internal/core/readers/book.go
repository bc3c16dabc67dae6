package readers

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Question is what a node asks the primary's agent, again and again.
type Question struct {
	Epoch cluster.Epoch `json:"epoch"`
	// Agent and Seq tell a question from one that was sent before it and comes later.
	Agent string `json:"agent"`
	Seq   uint64 `json:"seq"`
	// Has are the addresses that its kernel has, Failed those that it could not take.
	Has    []netip.Addr `json:"has,omitempty"`
	Failed []netip.Addr `json:"failed,omitempty"`
	// Unable says that, by its own judgement, readers may not be led to it.
	Unable bool `json:"unable,omitempty"`
}

// Answer says which addresses the node is to have. It counts their time from before it
// asked, so an answer that comes late is worth less, never more.
type Answer struct {
	Addresses []netip.Addr `json:"addresses,omitempty"`
}

// Book is what a primary's agent knows of who has which address. It is empty at the
// beginning of a reign: who has what is learnt from the nodes' questions.
type Book struct {
	// Lasts is for how long another node may have an address after it was given it, as
	// the primary has to count: longer than that node does, until its kernel is surely rid
	// of it.
	Lasts time.Duration
	// Nodes are all that may have one, and Self is whose book it is.
	Nodes []cluster.NodeName
	Self  cluster.NodeName

	since  cluster.Instant
	own    []netip.Addr
	seen   map[netip.Addr]bool // those that somebody has had in this reign: nobody else had
	grants map[netip.Addr]grant
	asked  map[cluster.NodeName]asked
	failed map[failure]cluster.Instant
}

type grant struct {
	node  cluster.NodeName
	until cluster.Instant
}

type asked struct {
	agent  string
	seq    uint64
	at     cluster.Instant
	unable bool
}

type failure struct {
	node cluster.NodeName
	ip   netip.Addr
}

// failedFor is for how long a node that could not take an address is not given it again.
const failedFor = 30 * time.Second

// Begin forgets everything: a reign begins, or goes on after a pause in which somebody
// else may have given addresses. own are those that this node itself was given and whose time is
// not over yet, as long as it has told no primary that it does not have them any more: nobody
// else can have been given one. Whether it still has them it says like the others.
func (b *Book) Begin(now cluster.Instant, own ...netip.Addr) {
	b.since, b.own, b.seen = now, own, map[netip.Addr]bool{}
	b.grants, b.asked, b.failed = map[netip.Addr]grant{}, map[cluster.NodeName]asked{}, map[failure]cluster.Instant{}
}

// Hear takes in what a node says with its question, and reports whether it is news: one
// that was sent before another that is known says nothing.
func (b *Book) Hear(node cluster.NodeName, q Question, now cluster.Instant) bool {
	if before, is := b.asked[node]; is && before.agent == q.Agent && before.seq >= q.Seq {
		return false
	}
	b.asked[node] = asked{q.Agent, q.Seq, now, q.Unable}
	for ip, g := range b.grants {
		if g.node == node && !slices.Contains(q.Has, ip) {
			delete(b.grants, ip)
		}
	}
	for _, ip := range q.Has {
		if g, is := b.grants[ip]; !is || g.until <= now {
			b.grants[ip], b.seen[ip] = grant{node, now.Add(b.Lasts)}, true
		}
	}
	for _, ip := range q.Failed {
		b.failed[failure{node, ip}] = now.Add(failedFor)
	}
	return true
}

// Give returns what a node that asks is to have now, of what it is wanted to have.
func (b *Book) Give(node cluster.NodeName, want map[netip.Addr]cluster.NodeName, now cluster.Instant) Answer {
	var a Answer
	for _, ip := range slices.SortedFunc(maps.Keys(want), netip.Addr.Compare) {
		if want[ip] != node {
			continue
		}
		g, is := b.grants[ip]
		is = is && g.until > now
		if is && g.node != node || !is && !b.knows(ip, now) {
			continue
		}
		b.grants[ip], b.seen[ip] = grant{node, now.Add(b.Lasts)}, true
		a.Addresses = append(a.Addresses, ip)
	}
	return a
}

// knows reports whether nobody can have an address that, by the book, nobody has: it was
// somebody's since the book began, all who could have it have said what they have, or the
// time of whatever was given before is over.
func (b *Book) knows(ip netip.Addr, now cluster.Instant) bool {
	said := func(n cluster.NodeName) bool { return b.asked[n].at != 0 }
	switch {
	case now >= b.since.Add(b.Lasts) || b.seen[ip]:
		return true
	case slices.Contains(b.own, ip):
		return said(b.Self)
	}
	return !slices.ContainsFunc(b.Nodes, func(n cluster.NodeName) bool { return !said(n) })
}

// Holders are those who have an address, or may have it.
func (b *Book) Holders(now cluster.Instant) map[netip.Addr]cluster.NodeName {
	all := map[netip.Addr]cluster.NodeName{}
	for ip, g := range b.grants {
		if g.until > now {
			all[ip] = g.node
		}
	}
	return all
}

// Asks reports whether a node asks, and would take an address: only such a one can be
// given anything.
func (b *Book) Asks(node cluster.NodeName, now cluster.Instant) bool {
	a, is := b.asked[node]
	return is && !a.unable && now < a.at.Add(b.Lasts)
}

// Barred reports whether a node was unable to take an address a short while ago.
func (b *Book) Barred(node cluster.NodeName, ip netip.Addr, now cluster.Instant) bool {
	return now < b.failed[failure{node, ip}]
}
