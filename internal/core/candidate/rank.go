package candidate

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// rank compares two nodes that could both come to hold everything required. It
// is negative if a comes first. It names the comparison that decided, and says
// how the later one fell behind.
//
// The order is that of design.md, section 8. All of them have every
// acknowledged transaction, or can get it from another (passUnable). A farther
// or less preferred node is therefore not taken merely because it received a
// little more; among equally near and equally preferred ones, one that has to
// fetch comes after one that does not, as it needs another server to live on.
func (f *field) rank(a, b *runner) (order int, by cluster.Reason, detail string) {
	for _, c := range []struct {
		by      cluster.Reason
		compare func(*field, *runner, *runner) (int, string)
	}{
		{cluster.PassedMove, (*field).compareByReign},
		{cluster.PassedSite, (*field).compareBySite},
		{cluster.PassedPreference, (*field).compareByPreference},
		{cluster.PassedIncomplete, (*field).compareByCompleteness},
		{cluster.PassedBehind, (*field).compareByLeftToApply},
		{cluster.PassedName, (*field).compareByName},
	} {
		if order, detail := c.compare(f, a, b); order != 0 {
			return order, c.by, detail
		}
	}
	return 0, cluster.PassedName, ""
}

// compareByReign puts the primary before first: if it can be chosen at all it
// lost its reign through no fault of its own, and moving the role would trouble
// its clients for nothing. One that failed never gets here beside another.
func (f *field) compareByReign(a, b *runner) (int, string) {
	rank := func(r *runner) int {
		if r.Node.Name == f.election.Old && !r.Failed {
			return 0
		}
		return 1
	}
	return cmp.Compare(rank(a), rank(b)), fmt.Sprintf("%s was primary before and is well", f.election.Old)
}

// compareBySite puts the old primary's site first, then the sites in their
// configured order, then those that nobody configured.
func (f *field) compareBySite(a, b *runner) (int, string) {
	nearer, farther := a, b
	order := cmp.Compare(f.distance(a), f.distance(b))
	if order > 0 {
		nearer, farther = b, a
	}
	return order, fmt.Sprintf("site %q comes after %q", farther.Node.Site, nearer.Node.Site)
}

func (f *field) distance(r *runner) int {
	if r.Node.Site == f.election.OldSite {
		return -1
	}
	if i := slices.Index(f.election.Sites, r.Node.Site); i >= 0 {
		return i
	}
	return len(f.election.Sites)
}

// compareByPreference puts the higher preference of the configuration first.
func (f *field) compareByPreference(a, b *runner) (int, string) {
	return cmp.Compare(b.Node.Prefer, a.Node.Prefer),
		fmt.Sprintf("prefer %d is less than %d", min(a.Node.Prefer, b.Node.Prefer), max(a.Node.Prefer, b.Node.Prefer))
}

// compareByCompleteness puts one that holds everything before one that has to
// fetch some of it.
func (f *field) compareByCompleteness(a, b *runner) (int, string) {
	incomplete := func(r *runner) int {
		if r.lacks.IsZero() {
			return 0
		}
		return 1
	}
	order := cmp.Compare(incomplete(a), incomplete(b))
	lacks := b.lacks
	if order > 0 {
		lacks = a.lacks
	}
	if order == 0 {
		return 0, ""
	}
	return order, fmt.Sprintf("it would have to fetch %s", lacks)
}

// compareByLeftToApply puts the one first that has fewer transactions to apply
// before it can serve.
func (f *field) compareByLeftToApply(a, b *runner) (int, string) {
	x, y := f.leftToApply(a), f.leftToApply(b)
	return cmp.Compare(x, y), fmt.Sprintf("%d transactions to apply, not %d", max(x, y), min(x, y))
}

func (f *field) leftToApply(r *runner) uint64 {
	return f.known.Subtract(r.Server.Executed).Count()
}

// compareByName makes every node choose the same one of two equal ones.
func (f *field) compareByName(a, b *runner) (int, string) {
	return cmp.Compare(a.Node.Name, b.Node.Name), "equal otherwise; names decide"
}
