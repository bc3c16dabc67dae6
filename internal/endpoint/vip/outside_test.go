package vip_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/endpoint/vip"
)

// asker looks from the host at others.
func (h *host) asker(t testing.TB) *vip.Asker {
	t.Helper()
	a, err := vip.NewAsker(vip.Config{Cluster: "shop", Namespace: int(h.fd)}, slog.New(slog.NewTextHandler(logTo{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// look returns what the host sees of both addresses, without the times.
func (h *host) look(t testing.TB) map[netip.Addr]seen {
	t.Helper()
	all := map[netip.Addr]seen{}
	for _, s := range h.asker(t).Look(t.Context(), vip.Question{IPs: []netip.Addr{vip4, vip6}}) {
		one := seen{On: s.Interface, Cached: s.Cached, Fixed: s.Fixed, Here: s.Here, Wrong: s.Wrong}
		for _, a := range s.Answers {
			if a.After <= 0 {
				t.Errorf("%s answered after %s", a.MAC, a.After)
			}
			one.MACs = append(one.MACs, a.MAC)
		}
		slices.Sort(one.MACs)
		all[s.IP] = one
	}
	return all
}

type seen struct {
	On, Cached string
	Fixed      bool
	MACs, Here []string
	Wrong      string
}

func both(s seen) map[netip.Addr]seen { return map[netip.Addr]seen{vip4: s, vip6: s} }

func wantSeen(t *testing.T, h *host, want map[netip.Addr]seen) {
	t.Helper()
	if diff := cmp.Diff(want, h.look(t), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("%s sees (-want +got):\n%s", h.name, diff)
	}
}

func TestANeighbourSeesWhoAnswers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	wantSeen(t, l.cl, both(seen{On: "eth0"})) // nobody has them
	bind(t, l.db1.set(t))
	wantSeen(t, l.cl, both(seen{On: "eth0", MACs: []string{l.db1.mac}}))
	wantSeen(t, l.cl2, both(seen{})) // its network is another one
	here := map[netip.Addr]seen{
		vip4: {On: "eth0", Here: []string{vip4.String() + "/32 on eth0"}},
		vip6: {On: "eth0", Here: []string{vip6.String() + "/128 on eth0"}},
	}
	wantSeen(t, l.db1, here)

	// Somebody adds them by hand elsewhere.
	for _, by := range []string{vip4.String() + "/24", vip6.String() + "/64 nodad"} {
		l.db2.ip(t, "addr add "+by+" dev eth0")
	}
	wantSeen(t, l.cl, both(seen{On: "eth0", MACs: []string{l.db1.mac, l.db2.mac}}))
	l.cl.ip(t, "link set eth0 down")
	wantSeen(t, l.cl, both(seen{}))
}

// TestANeighbourTellsWhatItsKernelRemembers: one whose entry for the address is that of
// the host before, and one in whose table somebody has written it.
func TestANeighbourTellsWhatItsKernelRemembers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	bind(t, l.db1.set(t))
	l.cl.ip(t, "neigh replace "+vip4.String()+" lladdr "+l.db2.mac+" dev eth0 nud stale", "neigh replace "+vip6.String()+" lladdr "+l.db2.mac+" dev eth0 nud permanent")
	wantSeen(t, l.cl, map[netip.Addr]seen{
		vip4: {On: "eth0", MACs: []string{l.db1.mac}, Cached: l.db2.mac},
		vip6: {On: "eth0", MACs: []string{l.db1.mac}, Cached: l.db2.mac, Fixed: true},
	})
}

// TestANeighbourSeesTheLinkLayerAddressThatMoves: and it is what the primary takes for
// the right one; that of its interface is the host's, too.
func TestANeighbourSeesTheLinkLayerAddressThatMoves(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.db1.set(t, withMACs)
	bind(t, s)
	want := map[netip.Addr]seen{}
	for _, ip := range []netip.Addr{vip4, vip6} {
		want[ip] = seen{On: "eth0", MACs: []string{macOf(ip).String()}}
	}
	wantSeen(t, l.cl, want)
	homes, err := s.Homes()
	if err != nil {
		t.Fatal(err)
	}
	for ip, h := range homes {
		if h.MAC != macOf(ip).String() || !slices.Contains(h.Other, l.db1.mac) {
			t.Errorf("%s is at %+v", ip, h)
		}
	}
}

// TestOnlyAnswersCount: a host that announces an address, and does not answer for it.
func TestOnlyAnswersCount(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.db1.set(t)
	runSet(t, s)
	bind(t, s)
	if err := s.Mute(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantSeen(t, l.cl, both(seen{On: "eth0"}))
}

// TestAHostBehindARouterSeesWhetherItsEchoesArrive: at the host that asks, at another
// one, or at none.
func TestAHostBehindARouterSeesWhetherItsEchoesArrive(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.db1.set(t)
	bind(t, s)
	own := netip.MustParseAddr("10.78.0.11")
	for _, at := range []string{"10.78.0.11", "10.78.0.12", "fd78::b", "fd78::c", vip4.String(), vip6.String()} {
		// An address of a new interface cannot be used for a second or two.
		await(t, func() bool {
			return strings.Contains(l.cl2.sh(t, "ping -q -c 1 -W 1 "+at+" || true"), " 0% packet loss")
		},
			func() string { return at + " does not answer" })
	}
	look := func(token string) (came map[netip.Addr]bool, routed map[netip.Addr]vip.Routed) {
		t.Helper()
		ear, err := s.Hear([]netip.Addr{vip4, vip6}, []string{token})
		if err != nil {
			t.Fatal(err)
		}
		defer ear.Close()
		came, routed = map[netip.Addr]bool{}, map[netip.Addr]vip.Routed{}
		for _, one := range l.cl2.asker(t).Look(t.Context(), vip.Question{IPs: []netip.Addr{vip4, vip6}, Token: token, Control: own}) {
			if one.Routed == nil || one.Wrong != "" || one.Interface != "" {
				t.Fatalf("it says %+v", one)
			}
			if one.Routed.Answered != (one.Routed.After > 0) {
				t.Errorf("answered after %s: %t", one.Routed.After, one.Routed.Answered)
			}
			one.Routed.After = 0
			routed[one.IP] = *one.Routed
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if !ear.Came(ctx, token, own) {
			t.Error("the echo to an address that does not move has not come")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for _, ip := range []netip.Addr{vip4, vip6} {
			wait := ctx
			if strings.HasPrefix(token, "elsewhere") {
				wait = gone
			}
			came[ip] = ear.Came(wait, token, ip)
		}
		if ear.Came(gone, "another", vip4) {
			t.Error("an echo of nobody's came")
		}
		return came, routed
	}
	v4, v6 := "10.78.1.1 on eth0", "fd79::1 on eth0"
	check := func(token string, wantCame, wantAnswered bool) {
		t.Helper()
		came, routed := look(token)
		want := map[netip.Addr]vip.Routed{vip4: {Via: v4, Answered: wantAnswered}, vip6: {Via: v6, Answered: wantAnswered}}
		if diff := cmp.Diff(want, routed, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || came[vip4] != wantCame || came[vip6] != wantCame {
			t.Errorf("%s: came %v\n%s", token, came, diff)
		}
	}
	check("here", true, true)
	// The router leads to the other host, which has the addresses, too.
	for _, by := range []string{vip4.String() + "/32", vip6.String() + "/128"} {
		l.db2.ip(t, "addr add "+by+" dev lo")
	}
	l.rt.ip(t, "route add "+vip4.String()+"/32 via 10.78.0.12", "-6 route add "+vip6.String()+"/128 via fd78::c")
	check("elsewhere", false, true)
	l.rt.ip(t, "route replace unreachable "+vip4.String()+"/32", "-6 route replace unreachable "+vip6.String()+"/128")
	check("elsewhere-nowhere", false, false)
	l.cl2.ip(t, "route del default")
	for _, one := range l.cl2.asker(t).Look(t.Context(), vip.Question{IPs: []netip.Addr{vip4}, Token: "x"}) {
		if !strings.Contains(one.Wrong, "there is no route to "+vip4.String()) {
			t.Errorf("without a route it says %+v", one)
		}
	}
}

func TestAHostKnowsWhereItHasItsAddresses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.db1.set(t)
	elsewhere := vip.Home{Other: []string{l.db1.mac}}
	wantHomes := func(want vip.Home) {
		t.Helper()
		got, err := s.Homes()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[netip.Addr]vip.Home{vip4: want, vip6: want}, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
	}
	wantHomes(elsewhere)
	bind(t, s)
	wantHomes(vip.Home{Here: true, MAC: l.db1.mac})
	if macs, err := l.db2.asker(t).MACs([]netip.Addr{vip4, vip6}); err != nil || !slices.Equal(macs, []string{l.db2.mac}) {
		t.Errorf("the other host's: %v, %v", macs, err)
	}
	if macs, err := l.cl2.asker(t).MACs([]netip.Addr{vip4, vip6}); err != nil || len(macs) > 0 {
		t.Errorf("those of one in another network: %v, %v", macs, err)
	}
}

func TestWhatSomebodyAddedByHandIsRemoved(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	bind(t, l.db2.set(t, func(c *vip.Config) { c.Addresses = c.Addresses[1:] }))
	l.db2.ip(t, "addr add "+vip4.String()+"/24 dev eth0", "addr add "+vip4.String()+"/32 dev lo", "addr add "+vip6.String()+"/128 dev lo")
	a := l.db2.asker(t)
	strays, err := a.Strays([]netip.Addr{vip4, vip6})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, s := range strays {
		text := s.String()
		if s.Marked {
			found = append(found, text+", ours")
			continue
		}
		found = append(found, text)
		for range 2 { // the second time it is gone
			if err := a.Remove(s); err != nil {
				t.Errorf("remove %s: %v", s, err)
			}
		}
	}
	slices.Sort(found)
	want := []string{vip4.String() + "/24 on eth0", vip4.String() + "/32 on lo", vip6.String() + "/128 on eth0, ours", vip6.String() + "/128 on lo"}
	if !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	left := l.db2.ip(t, "addr")
	if strings.Contains(left, vip4.String()) || strings.Count(left, vip6.String()) != 1 || !strings.Contains(left, "10.78.0.12/24") {
		t.Errorf("what is left:\n%s", left)
	}
}

// TestNoAddressIsRemovedThatOthersGoWith: the kernel takes the secondary addresses of a
// network along with its first one, the host's own among them.
func TestNoAddressIsRemovedThatOthersGoWith(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.db2.ip(t, "addr del 10.78.0.12/24 dev eth0", "addr add "+vip4.String()+"/24 dev eth0", "addr add 10.78.0.12/24 dev eth0")
	a := l.db2.asker(t)
	strays, err := a.Strays([]netip.Addr{vip4})
	if err != nil || len(strays) != 1 {
		t.Fatalf("found %v, %v", strays, err)
	}
	if err := a.Remove(strays[0]); !errors.Is(err, vip.ErrTakesAlong) || !strings.Contains(err.Error(), "10.78.0.12/24") {
		t.Errorf("removed: %v", err)
	}
	if left := l.db2.ip(t, "addr"); !strings.Contains(left, vip4.String()) || !strings.Contains(left, "10.78.0.12/24") {
		t.Errorf("what is left:\n%s", left)
	}
}
