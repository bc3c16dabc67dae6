package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Nexthop objects have numbers, of which every program on a host takes some. An
// endpoint's are of a block that its name gives it, far from the low ones that the kernel
// and FRR count up from; where one is taken all the same, the next one is.
const (
	firstBlock = 0x4000_0000
	blocks     = 0x3f_ffff
	blockSize  = 256
)

// blockOf returns the first number of an endpoint's block.
func blockOf(owner string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(owner))
	return firstBlock + h.Sum32()%blocks*blockSize
}

// nexthopHeader is a struct nhmsg.
func nexthopHeader(family, protocol uint8) []byte { return []byte{family, 0, protocol, 0, 0, 0, 0, 0} }

// nexthops returns all nexthop objects of the host, and false if the kernel has none, as
// those before 5.3.
func (k *kernel) nexthops() (map[uint32]nexthop, bool, error) {
	all, err := dump(k, unix.RTM_GETNEXTHOP, nexthopHeader(unix.AF_UNSPEC, 0), func(data []byte) (nexthop, bool, error) {
		if len(data) < unix.SizeofNhmsg {
			return nexthop{}, false, nil
		}
		n, err := readNexthop(data)
		if err != nil {
			return nexthop{}, false, fmt.Errorf("read a nexthop object: %w", err)
		}
		return n, true, nil
	})
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("list the nexthop objects: %w", err)
	}
	objects := map[uint32]nexthop{}
	for _, n := range all {
		objects[n.id] = n
	}
	return objects, true, nil
}

func readNexthop(data []byte) (nexthop, error) {
	n := nexthop{protocol: data[2]}
	attributes, err := netlink.NewAttributeDecoder(data[unix.SizeofNhmsg:])
	if err != nil {
		return nexthop{}, err
	}
	for attributes.Next() {
		switch attributes.Type() {
		case unix.NHA_ID:
			n.id = attributes.Uint32()
		case unix.NHA_OIF:
			n.link = int(attributes.Uint32())
		case unix.NHA_GATEWAY:
			n.gateway, _ = netip.AddrFromSlice(attributes.Bytes())
		case unix.NHA_GROUP:
			b := attributes.Bytes()
			for ; len(b) >= unix.SizeofNexthopGrp; b = b[unix.SizeofNexthopGrp:] {
				n.group = append(n.group, member{binary.NativeEndian.Uint32(b), int(b[4]) + 1})
			}
		}
	}
	return n, attributes.Err()
}

// addGateway makes an object of a way. It replaces none: what is there with that number
// is an error, EEXIST.
func (k *kernel) addGateway(id uint32, h hop) error {
	_, err := k.ask(unix.RTM_NEWNEXTHOP, netlink.Acknowledge|netlink.Create|netlink.Excl, nexthopHeader(familyOf(h.gateway), Protocol),
		number(unix.NHA_ID, int(id)), netlink.Attribute{Type: unix.NHA_GATEWAY, Data: h.gateway.AsSlice()}, number(unix.NHA_OIF, h.link))
	return err
}

// putGroup makes a group, or (Replace) gives the one of that number other members. That
// is one step: whatever goes by the group goes by all of the new members after it.
func (k *kernel) putGroup(id uint32, members []member, how netlink.HeaderFlags) error {
	var group []byte
	for _, m := range members {
		group = binary.NativeEndian.AppendUint32(group, m.id)
		group = append(group, uint8(m.weight-1), 0, 0, 0)
	}
	_, err := k.ask(unix.RTM_NEWNEXTHOP, netlink.Acknowledge|netlink.Create|how, nexthopHeader(unix.AF_UNSPEC, Protocol),
		number(unix.NHA_ID, int(id)), netlink.Attribute{Type: unix.NHA_GROUP, Data: group})
	return err
}

func (k *kernel) removeNexthop(id uint32) error {
	_, err := k.ask(unix.RTM_DELNEXTHOP, netlink.Acknowledge, nexthopHeader(unix.AF_UNSPEC, 0), number(unix.NHA_ID, int(id)))
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

// hopsOf returns where a route leads. What its object says counts: the kernel can be set
// not to repeat that in the route (net.ipv4.nexthop_compat_mode).
func hopsOf(p path, objects map[uint32]nexthop) []hop {
	n, ok := objects[p.object]
	switch {
	case p.object == 0 || !ok:
		return p.hops
	case len(n.group) == 0:
		return []hop{{n.gateway, n.link, 1}}
	}
	var hops []hop
	for _, m := range n.group {
		hops = append(hops, hop{objects[m.id].gateway, objects[m.id].link, m.weight})
	}
	return hops
}

// groups sees to the groups of one call: which are there, which are wanted, and which
// numbers are free.
type groups struct {
	kernel  *kernel
	first   uint32 // of the endpoint's block
	objects map[uint32]nexthop
	wanted  map[uint32]bool // what is to stay
}

// ours reports whether an object is of this endpoint's making.
func (g *groups) ours(n nexthop) bool {
	return n.protocol == Protocol && n.id >= g.first && n.id < g.first+blockSize
}

// create has make an object under a free number of the block.
func (g *groups) create(make func(id uint32) error) (uint32, error) {
	for id := g.first; id < g.first+blockSize; id++ {
		if _, taken := g.objects[id]; taken {
			continue
		}
		err := make(id)
		switch {
		case errors.Is(err, syscall.EEXIST): // somebody was faster
			continue
		case err != nil:
			return 0, err
		}
		return id, nil
	}
	return 0, fmt.Errorf("all %d numbers from %d on are taken", blockSize, g.first)
}

// gateway returns the number of an object for a way, and makes it if there is none.
func (g *groups) gateway(h hop) (uint32, error) {
	for id, n := range g.objects {
		if g.ours(n) && n.group == nil && n.gateway == h.gateway && n.link == h.link {
			g.wanted[id] = true
			return id, nil
		}
	}
	id, err := g.create(func(id uint32) error { return g.kernel.addGateway(id, h) })
	if err != nil {
		return 0, err
	}
	g.objects[id] = nexthop{id: id, protocol: Protocol, hop: hop{gateway: h.gateway, link: h.link}}
	g.wanted[id] = true
	return id, nil
}

// group returns the number of a group with these members. present are the routes that
// are to go by it: the group that one of them goes by is given the new members, so that
// all move in one step.
func (g *groups) group(members []member, present []path) (uint32, error) {
	for _, p := range present {
		n, ok := g.objects[p.object]
		if p.protocol != Protocol || !ok || !g.ours(n) || n.group == nil || g.wanted[n.id] {
			continue
		}
		if !sameMembers(n.group, members) {
			if err := g.kernel.putGroup(n.id, members, netlink.Replace); err != nil {
				return 0, err
			}
			n.group = members
			g.objects[n.id] = n
		}
		g.wanted[n.id] = true
		return n.id, nil
	}
	id, err := g.create(func(id uint32) error { return g.kernel.putGroup(id, members, netlink.Excl) })
	if err != nil {
		return 0, err
	}
	g.objects[id] = nexthop{id: id, protocol: Protocol, group: members}
	g.wanted[id] = true
	return id, nil
}

// sameMembers reports whether two lists hold the same members, in whatever order.
func sameMembers(a, b []member) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(m member) bool { return !slices.Contains(b, m) })
}

// prune removes what is of this endpoint's making, or was used by its routes (used), and
// is of no use any more, and returns what could not be. What somebody's route or group
// goes by stays, whoever made it: the kernel would remove the route with it.
func (g *groups) prune(used []uint32, routes []path) (stay []string) {
	busy := map[uint32]bool{}
	for _, p := range routes {
		busy[p.object] = true
	}
	var stale []nexthop
	for id, n := range g.objects {
		if !g.wanted[id] && !busy[id] && (g.ours(n) || n.protocol == Protocol && slices.Contains(used, id)) {
			stale = append(stale, n)
		}
	}
	going := map[uint32]bool{}
	for _, n := range stale {
		going[n.id] = n.group != nil
	}
	for id, n := range g.objects {
		for _, m := range n.group {
			busy[m.id] = busy[m.id] || !going[id]
		}
	}
	// Groups first: they go by the others.
	slices.SortFunc(stale, func(a, b nexthop) int { return len(b.group) - len(a.group) })
	for _, n := range stale {
		if n.group == nil && busy[n.id] {
			continue
		}
		if err := g.kernel.removeNexthop(n.id); err != nil {
			stay = append(stay, fmt.Sprintf("remove the nexthop object %d: %s", n.id, inWords(err)))
		}
	}
	return stay
}
