package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// kernelTimeout bounds the questions to the kernel of one call.
const kernelTimeout = 5 * time.Second

// Attributes and sizes of linux/rtnetlink.h and linux/nexthop.h that package unix does
// not have, or not by itself.
const (
	rtaNexthopID  = 30
	sizeofNexthop = 8 // struct rtnexthop
)

// kernel is what is said to the kernel of one network namespace. The library that the
// other endpoints use knows no nexthop objects, in routes neither.
type kernel struct {
	conn      *netlink.Conn
	namespace int
	// behind says that an answer may still come that nobody waits for any more. The next
	// question would be given that one, and each after it the one before.
	behind bool
}

func dialKernel(namespace int) (*kernel, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{NetNS: namespace})
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	// Strictly, dumps are of the table that was asked for, and errors have the kernel's own
	// words. A kernel before 4.20 gives all tables, and is sorted out here.
	_ = conn.SetOption(netlink.GetStrictCheck, true)
	_ = conn.SetOption(netlink.ExtendedAcknowledge, true)
	return &kernel{conn: conn, namespace: namespace}, nil
}

// within begins the time that the questions of one call may take.
func (k *kernel) within(d time.Duration) error {
	if k.behind {
		fresh, err := dialKernel(k.namespace)
		if err != nil {
			return err
		}
		_ = k.conn.Close()
		*k = *fresh
	}
	if err := k.conn.SetDeadline(time.Now().Add(d)); err != nil {
		return fmt.Errorf("bound the wait for netlink: %w", err)
	}
	return nil
}

// hop is one way of a route or of a group.
type hop struct {
	gateway netip.Addr
	link    int // its interface; 0: not known
	weight  int // from 1
}

// path is a route to one address.
type path struct {
	to       netip.Addr
	table    int
	metric   int
	protocol uint8
	object   uint32 // the nexthop or group that it goes by; 0: by what it holds itself
	hops     []hop
}

// nexthop is one object of the kernel's: a gateway, or a group of others.
type nexthop struct {
	id       uint32
	protocol uint8
	hop      // where it is no group; the weight says nothing
	group    []member
}

type member struct {
	id     uint32
	weight int
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// message is a request: a fixed header, and attributes in the order of the list.
func message(kind uint16, flags netlink.HeaderFlags, header []byte, attributes ...netlink.Attribute) (netlink.Message, error) {
	tail, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		return netlink.Message{}, fmt.Errorf("encode a netlink message: %w", err)
	}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request | flags},
		Data:   append(header, tail...),
	}, nil
}

func number(kind uint16, n int) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: binary.NativeEndian.AppendUint32(nil, uint32(n))}
}

func (k *kernel) ask(kind uint16, flags netlink.HeaderFlags, header []byte, attributes ...netlink.Attribute) ([]netlink.Message, error) {
	m, err := message(kind, flags, header, attributes...)
	if err != nil {
		return nil, err
	}
	all, err := k.conn.Execute(m)
	// What the kernel refuses it has answered. With ENOBUFS the rest of an answer is left.
	var refused syscall.Errno
	k.behind = k.behind || err != nil && (!errors.As(err, &refused) || refused == syscall.ENOBUFS)
	return all, err
}

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

// errNoNetwork says that no interface that is up has a gateway's network.
var errNoNetwork = errors.New("no interface that is up has the gateway's network")

// linkTo returns the interface on whose network a neighbour is.
func (k *kernel) linkTo(gateway netip.Addr) (int, error) {
	found, err := k.ask(unix.RTM_GETROUTE, 0, routeHeader(familyOf(gateway), gateway.BitLen(), 0, 0, 0, 0),
		netlink.Attribute{Type: unix.RTA_DST, Data: gateway.AsSlice()})
	switch {
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return 0, errNoNetwork
	case err != nil:
		return 0, fmt.Errorf("see where the gateway is: %w", err)
	case len(found) != 1 || len(found[0].Data) < unix.SizeofRtMsg:
		return 0, errors.New("see where the gateway is: the kernel did not say")
	}
	if found[0].Data[7] == unix.RTN_LOCAL {
		return 0, errors.New("the gateway is this host's own address")
	}
	attributes, err := netlink.NewAttributeDecoder(found[0].Data[unix.SizeofRtMsg:])
	if err != nil {
		return 0, fmt.Errorf("see where the gateway is: %w", err)
	}
	link, far := 0, found[0].Data[7] != unix.RTN_UNICAST
	for attributes.Next() {
		switch attributes.Type() {
		case unix.RTA_OIF:
			link = int(attributes.Uint32())
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			far = true // behind another router
		}
	}
	if err := attributes.Err(); err != nil {
		return 0, fmt.Errorf("see where the gateway is: %w", err)
	}
	if far || link == 0 {
		return 0, errNoNetwork
	}
	return link, nil
}
