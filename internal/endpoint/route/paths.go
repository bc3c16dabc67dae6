package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// routeHeader is a struct rtmsg.
func routeHeader(family uint8, bits int, table int, protocol, scope, kind uint8) []byte {
	short := uint8(unix.RT_TABLE_UNSPEC)
	if table < 256 {
		short = uint8(table)
	}
	return []byte{family, uint8(bits), 0, 0, short, protocol, scope, kind, 0, 0, 0, 0}
}

// paths returns the routes of a table, of one family: those to one of these addresses, and
// those that go by some nexthop object, of which only one to a single address says where to.
func (k *kernel) paths(family uint8, table int, addresses []netip.Addr) ([]path, error) {
	all, err := dump(k, unix.RTM_GETROUTE, routeHeader(family, 0, table, 0, 0, 0), func(data []byte) (path, bool, error) {
		if len(data) < unix.SizeofRtMsg || data[0] != family {
			return path{}, false, nil
		}
		single := int(data[1]) == bitsOf(family)
		if !single && objectOf(data) == 0 {
			return path{}, false, nil
		}
		p, err := readPath(data)
		if err != nil {
			return path{}, false, fmt.Errorf("read a route: %w", err)
		}
		if !single {
			p.to = netip.Addr{}
		}
		return p, p.table == table && (p.object != 0 || slices.Contains(addresses, p.to)), nil
	}, number(unix.RTA_TABLE, table))
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	return all, nil
}

// objectOf is the nexthop object that a route goes by, without reading what else it holds.
func objectOf(route []byte) uint32 {
	for b := route[unix.SizeofRtMsg:]; len(b) >= unix.SizeofRtAttr; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return 0
		}
		if binary.NativeEndian.Uint16(b[2:]) == rtaNexthopID && n == unix.SizeofRtAttr+4 {
			return binary.NativeEndian.Uint32(b[4:])
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return 0
}

func bitsOf(family uint8) int {
	if family == unix.AF_INET {
		return 32
	}
	return 128
}

func readPath(data []byte) (path, error) {
	p := path{table: int(data[4]), protocol: data[5]}
	attributes, err := netlink.NewAttributeDecoder(data[unix.SizeofRtMsg:])
	if err != nil {
		return path{}, err
	}
	only := hop{weight: 1}
	for attributes.Next() {
		switch attributes.Type() {
		case unix.RTA_DST:
			p.to, _ = netip.AddrFromSlice(attributes.Bytes())
		case unix.RTA_TABLE:
			p.table = int(attributes.Uint32())
		case unix.RTA_PRIORITY:
			p.metric = int(attributes.Uint32())
		case rtaNexthopID:
			p.object = attributes.Uint32()
		case unix.RTA_GATEWAY:
			only.gateway, _ = netip.AddrFromSlice(attributes.Bytes())
		case unix.RTA_OIF:
			only.link = int(attributes.Uint32())
		case unix.RTA_MULTIPATH:
			attributes.Do(func(b []byte) (err error) {
				p.hops, err = readHops(b)
				return err
			})
		}
	}
	if len(p.hops) == 0 && only.gateway.IsValid() {
		p.hops = []hop{only}
	}
	return p, attributes.Err()
}

// readHops reads what RTA_MULTIPATH holds: a struct rtnexthop with attributes for each.
func readHops(b []byte) ([]hop, error) {
	var hops []hop
	for len(b) >= sizeofNexthop {
		length := int(binary.NativeEndian.Uint16(b))
		if length < sizeofNexthop || length > len(b) {
			return nil, fmt.Errorf("a nexthop of %d bytes where there are %d", length, len(b))
		}
		h := hop{link: int(binary.NativeEndian.Uint32(b[4:])), weight: int(b[3]) + 1}
		attributes, err := netlink.NewAttributeDecoder(b[sizeofNexthop:length])
		if err != nil {
			return nil, err
		}
		for attributes.Next() {
			if attributes.Type() == unix.RTA_GATEWAY {
				h.gateway, _ = netip.AddrFromSlice(attributes.Bytes())
			}
		}
		if err := attributes.Err(); err != nil {
			return nil, err
		}
		hops = append(hops, h)
		b = b[min(len(b), (length+3)&^3):]
	}
	return hops, nil
}

// attributesOf are those of a route that is to be: by its object, if it has one.
func attributesOf(p path) []netlink.Attribute {
	all := []netlink.Attribute{
		{Type: unix.RTA_DST, Data: p.to.AsSlice()}, number(unix.RTA_TABLE, p.table), number(unix.RTA_PRIORITY, p.metric),
	}
	switch {
	case p.object != 0:
		return append(all, number(rtaNexthopID, int(p.object)))
	case len(p.hops) == 1:
		return append(all, netlink.Attribute{Type: unix.RTA_GATEWAY, Data: p.hops[0].gateway.AsSlice()}, number(unix.RTA_OIF, p.hops[0].link))
	}
	var hops []byte
	for _, h := range p.hops {
		gateway := h.gateway.AsSlice()
		hops = binary.NativeEndian.AppendUint16(hops, uint16(sizeofNexthop+4+len(gateway)))
		hops = append(hops, 0, uint8(h.weight-1))
		hops = binary.NativeEndian.AppendUint32(hops, uint32(h.link))
		hops = binary.NativeEndian.AppendUint16(hops, uint16(4+len(gateway)))
		hops = binary.NativeEndian.AppendUint16(hops, unix.RTA_GATEWAY)
		hops = append(hops, gateway...)
	}
	return append(all, netlink.Attribute{Type: unix.RTA_MULTIPATH, Data: hops})
}

// putPath makes a route, in the place of one to the same address with the same metric.
func (k *kernel) putPath(p path) error {
	header := routeHeader(familyOf(p.to), p.to.BitLen(), p.table, p.protocol, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST)
	_, err := k.ask(unix.RTM_NEWROUTE, netlink.Acknowledge|netlink.Create|netlink.Replace, header, attributesOf(p)...)
	return err
}

// removePath removes the route to an address with that metric, if it is of that protocol.
func (k *kernel) removePath(p path) error {
	header := routeHeader(familyOf(p.to), p.to.BitLen(), p.table, p.protocol, unix.RT_SCOPE_NOWHERE, 0)
	p.hops = nil
	all := attributesOf(path{to: p.to, table: p.table, metric: p.metric, object: p.object})
	if p.object == 0 {
		all = all[:3]
	}
	_, err := k.ask(unix.RTM_DELROUTE, netlink.Acknowledge, header, all...)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
