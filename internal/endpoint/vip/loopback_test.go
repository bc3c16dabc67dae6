package vip_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

// onLoopback are addresses of no network of the rig.
func onLoopback(c *vip.Config) {
	c.Addresses = []vip.Address{{IP: netip.MustParseAddr("10.99.0.50"), Interface: "lo"}, {IP: netip.MustParseAddr("fd99::50"), Interface: "lo"}}
}

func TestAnAddressOnLoopbackNeedsNoNeighbours(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t, onLoopback)
	runSet(t, s)
	for _, a := range bind(t, s) {
		if a.Outcome != vip.Bound || a.Probe > 0 || a.Owner != nil {
			t.Errorf("%s: %s, probed for %s, owner %q", a.Address, a.Outcome, a.Probe, a.Owner)
		}
	}
	if macs, err := s.MACs(); err != nil || len(macs) > 0 {
		t.Errorf("link-layer addresses %v, %v", macs, err)
	}
	if _, err := s.Ask(t.Context(), "lo", netip.MustParseAddr("10.99.0.50")); !errors.Is(err, vip.ErrNobody) {
		t.Errorf("a neighbour on loopback: %v", err)
	}
	l.db1.serve(t)
	for ip, route := range map[string]string{"10.99.0.50": "-4 route add 10.99.0.50/32 via 10.78.0.11", "fd99::50": "-6 route add fd99::50/128 via fd78::b"} {
		l.rt.ip(t, route)
		l.cl.ip(t, route)
		addr := netip.MustParseAddr(ip)
		l.cl.awaitReach(t, addr, l.db1)
		l.cl2.awaitReach(t, addr, l.db1)
	}
	drop(t, s)
	if o := observe(t, s); len(o.Bound()) > 0 {
		t.Errorf("after a drop: %v", o)
	}
	for _, family := range []string{"-4", "-6"} {
		if routes := l.db1.ip(t, family+" route show table all"); strings.Contains(routes, "10.99.0.50") || strings.Contains(routes, "fd99::50") {
			t.Errorf("the address left a route: %s", routes)
		}
	}
}

func TestAnAddressOnLoopbackEndsWithItsTime(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t, onLoopback)
	var until cluster.Instant
	for short := 100 * time.Millisecond; ; short *= 2 { // on a machine that is busy it may be too short
		until = in(short)
		_, err := s.Bind(context.Background(), vip.Claim{Until: until})
		if err == nil {
			break
		}
		if !errors.Is(err, vip.ErrExpired) || short > patience {
			t.Fatal(err)
		}
	}
	// Nothing of ours runs: the kernel takes them away, at most a second late.
	await(t, func() bool { return len(observe(t, s).Bound()) == 0 }, func() string { return l.db1.ip(t, "addr show dev lo") })
	if late := clock.Now().Sub(until); late > patience/2 {
		t.Errorf("they were there for %s too long", late)
	}
	l.db1.ip(t, "-6 route add default via fd78::1")
	if route := l.db1.ip(t, "-6 route get fd99::50"); !strings.Contains(route, "via fd78::1") {
		t.Errorf("the address left a route that is used: %s", route)
	}
}
