package vip

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// neighbourLook is how often the neighbours of the interfaces are looked at, so
// that they are known after a carrier that was lost: the kernel forgets all of
// them with it, asks anew, and if the switch loses that one request asks again
// only a second later. The shortest blip of a link would cost a second.
const neighbourLook = 5 * time.Second

// known are states in which the kernel has a neighbour's link-layer address that
// it learnt by itself.
const known = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE

// neighbours returns those of an interface that the kernel knows.
func (k *kernel) neighbours(index int) ([]netlink.Neigh, error) {
	var all []netlink.Neigh
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := k.handle.NeighList(index, family)
		if err != nil {
			return nil, fmt.Errorf("list the neighbours: %w", err)
		}
		for _, n := range list {
			if n.State&known != 0 && len(n.HardwareAddr) > 0 {
				all = append(all, n)
			}
		}
	}
	return all, nil
}

// remind tells the kernel of neighbours that it has forgotten. It uses them at
// once, and asks them whether they are still there as it does with every entry
// that is not fresh: one that has moved meanwhile is found out.
func (k *kernel) remind(index int, of []netlink.Neigh) (reminded int, err error) {
	present, err := k.neighbours(index)
	if err != nil {
		return 0, err
	}
	knows := map[string]bool{}
	for _, n := range present {
		knows[n.IP.String()] = true
	}
	var errs []error
	for _, n := range of {
		if knows[n.IP.String()] {
			continue
		}
		entry := netlink.Neigh{LinkIndex: index, Family: n.Family, IP: n.IP, HardwareAddr: n.HardwareAddr, State: unix.NUD_STALE}
		if err := k.handle.NeighSet(&entry); err != nil {
			errs = append(errs, fmt.Errorf("remind the kernel of the neighbour %s: %w", n.IP, err))
			continue
		}
		reminded++
	}
	return reminded, errors.Join(errs...)
}

// rememberNeighbours notes the neighbours of every interface that has its carrier.
func (r *runner) rememberNeighbours() {
	for _, name := range r.cfg.interfaces() {
		l, err := r.kernel.link(name)
		if err != nil || !l.arp || !l.up || !l.carrier {
			continue
		}
		if now, err := r.kernel.neighbours(l.index); err == nil && len(now) > 0 {
			r.neighbours[name] = now
		}
	}
}
