package fence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// State is what the kernel does now.
type State struct {
	Mode Mode
	// Remaining is for how long clients still pass; in mode Leased only.
	Remaining time.Duration
	Cut       []cluster.NodeName // nodes whose replication from here is cut, sorted
	Blocked   []netip.AddrPort   // sources that this host is kept from, sorted
}

// State reads from the kernel, never from memory. A table that lacks any of
// its chains, hooks or rules counts as Missing.
func (g *Gate) State(ctx context.Context) (State, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen, err := g.observe(ctx)
	if err != nil {
		return State{}, fmt.Errorf("read gate %s: %w", g.table, err)
	}
	return seen.state(g.cfg.Scope), nil
}

// seen is the gate as the kernel holds it.
type seen struct {
	whole bool // every chain, hook and rule is there
	// until is the mode that chain "until" allows; end is its wall-clock end.
	until Mode
	end   time.Time
	// open says that the set element is there; left is what its timeout has
	// left, zero if it has none.
	open  bool
	timed bool
	left  time.Duration
	// boot was read before everything else, and wall after it, so that the end
	// of a lease computed from them is rather too early than too late.
	boot    cluster.Instant
	wall    time.Time
	ports   []uint16
	cut     []netip.Addr
	sources []netip.AddrPort
}

// mode is the stricter of what the element and chain "until" allow.
func (s seen) mode() (Mode, time.Duration) {
	switch {
	case !s.whole:
		return Missing, 0
	case !s.open || s.until == Closed:
		return Closed, 0
	case s.until == ReadOnly && !s.timed:
		return ReadOnly, 0
	}
	remaining := s.left
	if byWall := s.end.Sub(s.wall); s.until == Leased && (!s.timed || byWall < remaining) {
		remaining = byWall
	}
	if remaining <= 0 {
		return Closed, 0
	}
	return Leased, remaining
}

func (s seen) state(scope Scope) State {
	mode, remaining := s.mode()
	st := State{Mode: mode, Remaining: remaining, Cut: s.cutNodes(scope), Blocked: slices.Clone(s.sources)}
	slices.SortFunc(st.Blocked, netip.AddrPort.Compare)
	return st
}

// cutNodes names the nodes any of whose addresses is cut.
func (s seen) cutNodes(scope Scope) []cluster.NodeName {
	var nodes []cluster.NodeName
	for _, name := range scope.peerNames() {
		if slices.ContainsFunc(scope.Peers[name], func(a netip.Addr) bool { return slices.Contains(s.cut, a) }) {
			nodes = append(nodes, name)
		}
	}
	return nodes
}

// wanted is what an agent would have had to ask for to make the kernel do this.
func (s seen) wanted(scope Scope) wanted {
	mode, remaining := s.mode()
	w := wanted{mode: mode, cut: s.cutNodes(scope), sources: s.sources}
	switch mode {
	case Missing:
		w.mode = Closed
	case Leased:
		w.until = s.boot.Add(remaining)
	}
	return w
}

// asWanted says whether clients are let through no longer than wanted, and the
// same nodes and sources are kept apart.
func (s seen) asWanted(w wanted, scope Scope) bool {
	mode, _ := s.mode()
	ended := mode == Closed && w.mode == Leased // by itself, or it was never renewed
	return (mode == w.mode || ended) &&
		slices.Equal(s.cutNodes(scope), slices.Sorted(slices.Values(w.cut))) &&
		sameElements(s.sources, w.sources)
}

func sameElements[T comparable](a, b []T) bool {
	return len(without(a, b)) == 0 && len(without(b, a)) == 0
}

// observe reads the whole gate. A table that is not there is no error.
func (g *Gate) observe(ctx context.Context) (seen, error) {
	for {
		s, err := g.observeOnce(ctx)
		switch {
		case errors.Is(err, errDumpInterrupted):
			continue // bounded by ctx: each dump looks at it
		case errors.Is(err, unix.ENOENT):
			return seen{}, nil // removed, or removed meanwhile
		}
		return s, err
	}
}

func (g *Gate) observeOnce(ctx context.Context) (seen, error) {
	boot := clock.Now()
	info, err := findTable(ctx, g.nft, g.table)
	if err != nil || !info.present {
		return seen{}, err
	}
	s := seen{boot: boot}
	rules, err := dumpRules(ctx, g.nft, g.table)
	if err != nil {
		return s, fmt.Errorf("list rules: %w", err)
	}
	chains, err := dumpChains(ctx, g.nft, g.table)
	if err != nil {
		return s, fmt.Errorf("list chains: %w", err)
	}
	s.whole = info.flags&unix.NFT_TABLE_F_DORMANT == 0 && sameRules(rules) && sameChains(chains)
	s.until, s.end = readUntil(rules)
	if err := g.observeSets(ctx, &s); err != nil {
		return s, fmt.Errorf("list set elements: %w", err)
	}
	s.wall = time.Now()
	return s, nil
}

func (g *Gate) observeSets(ctx context.Context, s *seen) error {
	open, err := dumpElements(ctx, g.nft, g.table, setOpen)
	if err != nil {
		return err
	}
	for _, e := range open {
		s.open, s.timed, s.left = true, e.timeout > 0, e.expires
	}
	ports, err := dumpElements(ctx, g.nft, g.table, setPorts)
	if err != nil {
		return err
	}
	for _, e := range ports {
		if len(e.key) == 2 {
			s.ports = append(s.ports, binary.BigEndian.Uint16(e.key))
		}
	}
	slices.Sort(s.ports)
	for _, f := range families() {
		cut, err := dumpElements(ctx, g.nft, g.table, setCut+f.suffix)
		if err != nil {
			return err
		}
		for _, e := range cut {
			if a, ok := netip.AddrFromSlice(e.key); ok {
				s.cut = append(s.cut, a)
			}
		}
		sources, err := dumpElements(ctx, g.nft, g.table, setSources+f.suffix)
		if err != nil {
			return err
		}
		for _, e := range sources {
			if a, ok := readSourceKey(e.key, int(f.addrLen)); ok {
				s.sources = append(s.sources, a)
			}
		}
	}
	return nil
}

func readSourceKey(key []byte, addrLen int) (netip.AddrPort, bool) {
	if len(key) < addrLen+2 {
		return netip.AddrPort{}, false
	}
	a, ok := netip.AddrFromSlice(key[:addrLen])
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(key[addrLen:])), ok
}

// sameRules compares place, order and expressions with what we install, chain
// "until" left aside.
func sameRules(got []seenRule) bool {
	type key struct{ chain, comment, exprs string }
	byChain := func(chainName string) (want, have []key) {
		for _, r := range gateRules() {
			if r.chain == chainName {
				want = append(want, key{r.chain, r.comment, exprNames(r.exprs)})
			}
		}
		for _, r := range got {
			if r.chain == chainName {
				have = append(have, key{r.chain, r.comment, r.names})
			}
		}
		return want, have
	}
	for _, c := range gateChains() {
		if c.name == chainUntil {
			continue
		}
		if want, have := byChain(c.name); !slices.Equal(want, have) {
			return false
		}
	}
	return true
}

func sameChains(got []chain) bool {
	for _, want := range gateChains() {
		if !slices.Contains(got, want) {
			return false
		}
	}
	return true
}

// readUntil says what chain "until" allows. Anything unknown in it counts as
// closed.
func readUntil(rules []seenRule) (Mode, time.Time) {
	var until []seenRule
	for _, r := range rules {
		if r.chain == chainUntil {
			until = append(until, r)
		}
	}
	if len(until) != 1 {
		return Closed, time.Time{}
	}
	switch r := until[0]; {
	case r.comment == untilReadOnly && r.names == exprNames(untilRules(ReadOnly, time.Time{})[0].exprs):
		return ReadOnly, time.Time{}
	case r.comment == untilLease && r.names == exprNames(untilRules(Leased, time.Time{})[0].exprs) && len(r.cmp) == 8:
		return Leased, time.Unix(0, int64(binary.BigEndian.Uint64(r.cmp)))
	}
	return Closed, time.Time{}
}
