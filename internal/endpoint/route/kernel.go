package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
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
