// Package frr answers whether this host's FRR announces the cluster's addresses to its
// routers, and has it announce them while they are on this host.
//
// It speaks through vtysh, changes nothing in FRR but `network` statements for those
// addresses in the one BGP instance of the default VRF, and never writes FRR's
// configuration to the disk. The rule: an announcement rests on the address that the
// kernel has on loopback (package vip), never on this package alone. Each statement is
// there on every host for good, and FRR announces what it names only while its own
// routing table has that address (`bgp network import-check`, FRR's default); the
// kernel takes the address away when the lease ends, and with it goes the announcement,
// whether the agent lives or not. Where FRR does not look, nothing is announced.
package frr

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/command"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// Options say what is announced, and by whom.
type Options struct {
	// Vtysh is the command that speaks with FRR's daemons, with its own arguments.
	Vtysh []string
	// Addresses are what leads clients to the primary. Here says whether this host has one.
	Addresses []netip.Addr
	Here      func(netip.Addr) (bool, error)
	// RouteMap is applied to the announcements: communities, MED, preference. Empty: none.
	RouteMap string
	// Neighbors are those that have to be told. Empty: whichever FRR has.
	Neighbors []netip.Addr
	Self      cluster.NodeName
	Limit     time.Duration // of one run of vtysh
}

// Endpoint is the announcements of this host. It implements endpoint.Endpoint,
// endpoint.Local and endpoint.Tender, and is not safe for concurrent use.
type Endpoint struct {
	name  string
	o     Options
	guard endpoint.EpochGuard
	tells string
}

// Open prepares the announcements. It asks nobody.
func Open(name string, o Options) *Endpoint {
	return &Endpoint{name: name, o: o}
}

// again is the pause between two looks whether FRR has taken something in. One look is a
// process of its own that takes some 30 ms of a processor, in a moment in which the host
// has better things to do; and FRR does not hurry, either.
const again = 25 * time.Millisecond

// Set implements endpoint.Endpoint: it sees to the statements, and waits until the
// routers have been told. Led elsewhere, FRR announces nothing any more.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.guard.Pass(e.name, target.Epoch); err != nil {
		return err
	}
	here := target.Node == e.o.Self
	v, err := e.look(ctx)
	if err != nil {
		return err
	}
	changed, err := e.state(ctx, v, here)
	if err != nil {
		return err
	}
	if changed {
		if v, err = e.look(ctx); err != nil {
			return err
		}
	}
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		lacks := e.lacks(v)
		if !here {
			lacks = v.still()
		}
		if lacks == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return lacks
		}
		next, err := e.look(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return lacks // which says more than that there is no time left
		case err != nil:
			return err
		}
		v = next
	}
}

// Observe implements endpoint.Endpoint: what FRR says that it announces, and to whom.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	e.tells = ""
	v, err := e.look(ctx)
	if err != nil || e.lacks(v) != nil {
		return endpoint.Target{}, err // what is lacking, Set says
	}
	var tells []string
	for _, a := range e.o.Addresses {
		told := slices.SortedFunc(slices.Values(v.told(a, nil)), netip.Addr.Compare)
		tells = append(tells, fmt.Sprintf("FRR has told %s of %s", strings.Trim(fmt.Sprint(told), "[]"), a))
	}
	e.tells = strings.Join(tells, "; ")
	return endpoint.Target{Node: e.o.Self}, nil
}

// Tells implements endpoint.Teller: which routers FRR has told.
func (e *Endpoint) Tells() string { return e.tells }

// lacks says what is lacking until every address has been told to some router; nil if
// nothing is.
func (e *Endpoint) lacks(v view) error {
	for _, a := range e.o.Addresses {
		if !v.announced[a].announces {
			return e.unannounced(a)
		}
		if len(v.told(a, e.o.Neighbors)) > 0 {
			continue
		}
		if wrong := e.unwell(v.neighbors); wrong != nil {
			return fmt.Errorf("no router has been told of %s: %w", a, wrong)
		}
		return fmt.Errorf("no router has been told of %s: may FRR send it to them (address family, ebgp-requires-policy, filters)?", a)
	}
	return nil
}

// unannounced says why FRR does not announce an address.
func (e *Endpoint) unannounced(a netip.Addr) error {
	if here, err := e.o.Here(a); err == nil && !here {
		return fmt.Errorf("%s is not on this host", a)
	}
	if e.o.RouteMap != "" {
		return fmt.Errorf("FRR does not announce %s: it has not seen it on this host yet, or route-map %s denies it", a, e.o.RouteMap)
	}
	return fmt.Errorf("FRR does not announce %s: it has not seen it on this host yet", a)
}

// Tend implements endpoint.Tender: one neighbour of several that is out of reach leads
// nobody astray, but somebody should know.
func (e *Endpoint) Tend(ctx context.Context, _ endpoint.Target) error {
	v, err := e.look(ctx)
	if err != nil {
		return err
	}
	return e.unwell(v.neighbors)
}

// StandBy implements endpoint.Local: the statements are there, the sessions are up, and
// nothing is announced that this host does not have.
func (e *Endpoint) StandBy(ctx context.Context) error {
	v, err := e.look(ctx)
	if err != nil {
		return err
	}
	stray, err := e.stray(ctx, v)
	if err != nil {
		return err
	}
	if stray != nil {
		if _, err := e.state(ctx, v, false); err != nil {
			return fmt.Errorf("%w; and then: %w", stray, err)
		}
		return stray
	}
	if _, err := e.state(ctx, v, true); err != nil {
		return err
	}
	return e.unwell(v.neighbors)
}

// seen is how long FRR may take to see that an address is gone, or there.
const seen = 500 * time.Millisecond

// stray says what is announced although this host does not have it, or would be: FRR's
// table has a route of somebody's to exactly that address, and keeps it.
func (e *Endpoint) stray(ctx context.Context, v view) (stray, err error) {
	limit := time.NewTimer(seen)
	defer limit.Stop()
	for {
		stray = nil
		for _, a := range e.o.Addresses {
			here, err := e.o.Here(a)
			if err != nil {
				return nil, err
			}
			switch {
			case here:
			case v.routed[a] != "":
				stray = fmt.Errorf("FRR has a route to %s (%s) although the address is not on this host, and would announce it: remove that route; until then it has no network statement here", a, v.routed[a])
			case v.announced[a].announces:
				stray = fmt.Errorf("FRR announces %s although the address is not on this host: its network statement is removed", a)
			}
		}
		if stray == nil {
			return nil, nil
		}
		select {
		case <-limit.C:
			return stray, nil
		default:
		}
		if v, err = e.look(ctx); err != nil {
			return nil, err
		}
	}
}

// state sees to the network statements: one for each address, or none.
func (e *Endpoint) state(ctx context.Context, v view, there bool) (changed bool, err error) {
	r := v.running
	if there && !r.checks {
		if changed, err = e.state(ctx, v, false); err != nil {
			return changed, err
		}
		return changed, fmt.Errorf("FRR's BGP of AS %s has `no bgp network import-check`: it would announce the addresses on every host; remove that line", r.as)
	}
	var lines []string
	for _, a := range e.o.Addresses {
		p := netip.PrefixFrom(a, a.BitLen())
		has, ok := r.networks[p]
		switch {
		case there && (!ok || has != e.o.RouteMap):
			lines = append(lines, family(a), statement(p, e.o.RouteMap), "exit-address-family")
		case !there && ok:
			lines = append(lines, family(a), "no "+statement(p, has), "exit-address-family")
		}
	}
	if len(lines) == 0 {
		return false, nil
	}
	// FRR carries out one after the other, and stops at the first that it refuses.
	if _, err := e.ask(ctx, false, slices.Concat([]string{"configure terminal", "router bgp " + r.as}, lines)...); err != nil {
		return false, fmt.Errorf("configure the announcements: %w", err)
	}
	return true, nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "address-family ipv4 unicast"
	}
	return "address-family ipv6 unicast"
}

func statement(p netip.Prefix, routeMap string) string {
	if routeMap == "" {
		return "network " + p.String()
	}
	return "network " + p.String() + " route-map " + routeMap
}

// ask runs commands of FRR and returns what they print. Of a quiet one nothing is told:
// its configuration holds the passwords of its neighbours.
func (e *Endpoint) ask(ctx context.Context, quiet bool, commands ...string) (string, error) {
	args := slices.Clone(e.o.Vtysh)
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	return command.Command{Args: args, Limit: e.o.Limit, Quiet: quiet}.Output(ctx)
}
