package e2e_test

import (
	"net/netip"
	"testing"

	"github.com/baton-db/baton/internal/lab"
)

// TestNeighboursHaveNothingToLearn: the virtual addresses have link-layer addresses that
// move with them. One host of clients keeps its entries whatever it hears, and its clients
// write again after every switch like the others.
func TestNeighboursHaveNothingToLearn(t *testing.T) {
	rare(t)
	l := up(t, lab.Options{VirtualMAC: true})
	for _, a := range l.Addresses() {
		takesWrites(t, l, netip.AddrPortFrom(a, lab.Port).String())
	}
	known := map[netip.Addr]string{}
	for _, a := range l.Addresses() {
		mac, err := l.Neighbour(inTime(t), "cl", a)
		if err != nil {
			t.Fatal(err)
		}
		known[a] = mac
		if err := l.FixNeighbour(inTime(t), "cl2", a); err != nil {
			t.Fatal(err)
		}
	}
	for range runs(t) {
		for _, fault := range []string{"crash", "switchover", "power"} {
			t.Run(fault, func(t *testing.T) {
				old := primaryOf(t, l)
				moved(t, drill(t, l, fault, ""))
				if now := primaryOf(t, l); now == old {
					t.Errorf("%s is still the primary", old)
				}
				for a, mac := range known {
					if now, err := l.Neighbour(inTime(t), "cl", a); err != nil || now != mac {
						t.Errorf("the neighbour entry of %s was %s and is %s (%v)", a, mac, now, err)
					}
				}
			})
		}
	}
}
