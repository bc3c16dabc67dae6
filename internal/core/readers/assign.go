// Package readers answers which node is to have which of the addresses for readers, and
// when it may be given one.
//
// It never says that clients may write anywhere: an address is no permission. The rule
// that must not be broken: an address is given to one node at a time, and to another one
// only when the one before has said that it does not have it, or its time is over.
package readers

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Node is one that readers may be led to.
type Node struct {
	Name cluster.NodeName
	// Behind is how far it is behind the primary.
	Behind time.Duration
	// Settled says that it is so little behind that it may be given something. Between
	// this limit and the one at which it is not among those that may have an address, it
	// keeps what it has: one that is about as far behind as is allowed would lose its
	// addresses and get them back all the time.
	Settled bool
}

// Assign says who is to have each address: one of those that are well, and otherwise the
// node named (empty: nobody, and the address is left out). It keeps what is so as far as it can: who has one
// and is well goes on having it, unless another has two fewer. barred says that a node has been
// unable to take an address.
func Assign(addresses []netip.Addr, well []Node, otherwise cluster.NodeName, had map[netip.Addr]cluster.NodeName, barred func(cluster.NodeName, netip.Addr) bool) map[netip.Addr]cluster.NodeName {
	to, count := map[netip.Addr]cluster.NodeName{}, map[cluster.NodeName]int{}
	give := func(a netip.Addr, n cluster.NodeName) {
		if before, is := to[a]; is {
			count[before]--
		}
		to[a] = n
		count[n]++
	}
	for _, a := range addresses {
		if n := had[a]; slices.ContainsFunc(well, func(w Node) bool { return w.Name == n }) && !barred(n, a) {
			give(a, n)
		}
	}
	next := func(a netip.Addr) (Node, bool) {
		return best(well, count, func(n cluster.NodeName) bool { return barred(n, a) })
	}
	for _, a := range addresses {
		if _, is := to[a]; is {
			continue
		}
		if n, ok := next(a); ok {
			give(a, n.Name)
		} else if otherwise != "" {
			to[a] = otherwise
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(to), netip.Addr.Compare) {
		if n, ok := next(a); ok && n.Settled && count[to[a]] >= count[n.Name]+2 {
			give(a, n.Name)
		}
	}
	return to
}

// best is who gets an address: one that may be given something, with the fewest, the least
// behind by whole seconds, by name.
func best(well []Node, count map[cluster.NodeName]int, barred func(cluster.NodeName) bool) (Node, bool) {
	able := slices.DeleteFunc(slices.Clone(well), func(n Node) bool { return barred(n.Name) })
	if len(able) == 0 {
		return Node{}, false
	}
	return slices.MinFunc(able, func(a, b Node) int {
		return cmp.Or(boolean(b.Settled)-boolean(a.Settled), count[a.Name]-count[b.Name],
			cmp.Compare(a.Behind/time.Second, b.Behind/time.Second), cmp.Compare(a.Name, b.Name))
	}), true
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
