package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// put sees to the routes to a node. What can be there is, even if not all can.
func (e *Endpoint) put(node cluster.NodeName) error {
	if len(e.o.Ways[node]) == 0 {
		return fmt.Errorf("no way to %s is known here", node)
	}
	for _, a := range e.o.Addresses {
		if len(e.tiers(node, a.Is4())) == 0 {
			return fmt.Errorf("no way to %s is known here for %s", node, a)
		}
	}
	e.asked = node
	there, err := e.look()
	if err != nil {
		return err
	}
	c := &change{
		endpoint: e, host: there,
		groups: groups{kernel: e.kernel, first: blockOf(e.o.Owner), objects: there.objects, wanted: map[uint32]bool{}},
	}
	// One family has nothing to do with the other.
	for _, is4 := range []bool{true, false} {
		if err := c.family(node, is4); err != nil {
			c.wrong = append(c.wrong, err.Error())
		}
	}
	if there.objects != nil && len(c.wrong) == 0 {
		c.wrong = append(c.wrong, c.prune()...)
	}
	if all := slices.Concat(c.wrong, c.missing); len(all) > 0 {
		return errors.New(strings.Join(all, "; ")) // one line, for a table
	}
	return nil
}

// change is one call's way from what is there to what is wanted.
type change struct {
	endpoint *Endpoint
	host     host
	groups   groups
	wrong    []string // what could not be done
	missing  []string // ways that cannot be had now, and why
}

// family sees to the routes to the addresses of one family.
func (c *change) family(node cluster.NodeName, is4 bool) error {
	var addresses []netip.Addr
	for _, a := range c.endpoint.o.Addresses {
		if a.Is4() == is4 {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil
	}
	var metrics []int
	for _, t := range c.endpoint.tiers(node, is4) {
		want, err := c.route(t, addresses)
		if err != nil {
			return fmt.Errorf("the ways with metric %d: %s", t.metric, inWords(err))
		}
		if want.object == 0 && len(want.hops) == 0 {
			continue // none can be had
		}
		metrics = append(metrics, t.metric)
		if err := c.place(want, addresses); err != nil {
			return err
		}
	}
	if len(metrics) == 0 {
		return nil // better there than nowhere
	}
	return c.clear(addresses, metrics)
}

// route is how addresses go by the ways of one metric, of those that can be had.
func (c *change) route(t tier, addresses []netip.Addr) (path, error) {
	want := path{table: c.endpoint.o.Table, metric: t.metric, protocol: Protocol}
	var members []member
	for _, h := range t.hops {
		var id uint32
		link, err := c.endpoint.kernel.linkTo(h.gateway)
		h.link = link
		if err == nil && c.host.objects != nil {
			id, err = c.groups.gateway(h)
		}
		if err != nil {
			c.missing = append(c.missing, fmt.Sprintf("the way via %s: %s", h.gateway, inWords(err)))
			continue
		}
		if c.host.objects != nil {
			if err := c.endpoint.kernel.answers(h); err != nil {
				c.missing = append(c.missing, fmt.Sprintf("the way via %s: %s", h.gateway, inWords(err)))
			}
		}
		want.hops = append(want.hops, h)
		members = append(members, member{id, h.weight})
	}
	if c.host.objects == nil || len(members) == 0 {
		return want, nil
	}
	var present []path
	for _, a := range addresses {
		for _, p := range c.host.to(a) {
			if p.metric == t.metric {
				present = append(present, p)
			}
		}
	}
	var err error
	want.object, err = c.groups.group(members, present)
	return want, err
}

// place makes the routes to all addresses what one of them is to be.
func (c *change) place(want path, addresses []netip.Addr) error {
	for _, a := range addresses {
		want.to = a
		if slices.ContainsFunc(c.host.to(a), func(p path) bool { return p.metric == want.metric && same(p, want) }) {
			continue
		}
		if err := c.endpoint.kernel.putPath(want); err != nil {
			return fmt.Errorf("route %s via %s: %s", a, gateways(want.hops), inWords(err))
		}
	}
	return nil
}

// clear removes those of Baton's routes that have other metrics.
func (c *change) clear(addresses []netip.Addr, metrics []int) error {
	for _, a := range addresses {
		for _, p := range c.host.to(a) {
			if p.protocol != Protocol || slices.Contains(metrics, p.metric) {
				continue
			}
			if err := c.endpoint.kernel.removePath(p); err != nil {
				return fmt.Errorf("remove the route %s via %s: %s", a, gateways(hopsOf(p, c.host.objects)), inWords(err))
			}
		}
	}
	return nil
}

// prune removes objects that were of use before, and returns what could not be.
func (c *change) prune() []string {
	var used []uint32
	var others []path
	for _, p := range c.host.paths {
		if p.protocol != Protocol || !slices.Contains(c.endpoint.o.Addresses, p.to) {
			others = append(others, p)
			continue
		}
		used = append(used, p.object)
		for _, m := range c.host.objects[p.object].group {
			used = append(used, m.id)
		}
	}
	return c.groups.prune(used, others)
}
