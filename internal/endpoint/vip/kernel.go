package vip

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// kernelTimeout bounds one question to the kernel. It answers in well under a
// millisecond unless somebody holds its configuration lock.
const kernelTimeout = 5 * time.Second

// kernel is what we ask of and tell to the kernel's address configuration. The
// sockets belong to the namespace that they were opened in, whichever thread
// uses them later.
type kernel struct {
	mark    mark
	handle  *netlink.Handle
	sockets map[int]*nl.SocketHandle // for messages that netlink.Addr cannot express
}

// link is an interface that can carry a virtual address.
type link struct {
	name    string
	index   int
	mac     net.HardwareAddr
	up      bool // by the administrator
	carrier bool
	arp     bool // has neighbours that ask
	lo      bool // is the loopback interface
}

// present is an address as the kernel holds it.
type present struct {
	prefix netip.Prefix
	index  int
	proto  uint8
	metric uint32
	label  string
	flags  uint32
	valid  uint32 // seconds left; forever: never ends
}

const forever = ^uint32(0)

func openKernel(ns netns.NsHandle, m mark) (*kernel, error) {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	raw, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	k := &kernel{mark: m, handle: h, sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: raw}}}
	limit := unix.NsecToTimeval(int64(kernelTimeout))
	if err := errors.Join(h.SetSocketTimeout(kernelTimeout), raw.SetSendTimeout(&limit), raw.SetReceiveTimeout(&limit)); err != nil {
		k.close()
		return nil, fmt.Errorf("bound the wait for netlink: %w", err)
	}
	return k, nil
}

func (k *kernel) close() {
	k.handle.Close()
	k.sockets[unix.NETLINK_ROUTE].Close()
}

// link returns an interface by its name.
func (k *kernel) link(name string) (link, error) {
	l, err := k.handle.LinkByName(name)
	if err != nil {
		return link{}, fmt.Errorf("look up interface %s: %w", name, err)
	}
	return linkOf(l), nil
}

func linkOf(l netlink.Link) link {
	a := l.Attrs()
	return link{
		name: a.Name, index: a.Index, mac: a.HardwareAddr,
		up:      a.RawFlags&unix.IFF_UP != 0,
		carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
		arp:     a.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0 && len(a.HardwareAddr) == 6,
		lo:      a.RawFlags&unix.IFF_LOOPBACK != 0,
	}
}

// ours reports whether some interface of this host has that link-layer address.
func (k *kernel) ours(mac net.HardwareAddr) (bool, error) {
	links, err := k.handle.LinkList()
	if err != nil {
		return false, fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		if l.Attrs().HardwareAddr.String() == mac.String() {
			return true, nil
		}
	}
	return false, nil
}

func (k *kernel) request(kind, flags int, head *nl.IfAddrmsg) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = k.sockets
	req.AddData(head)
	return req
}

// addresses lists every address of this host, of both families.
func (k *kernel) addresses() ([]present, error) {
	var msgs [][]byte
	var err error
	for range 20 {
		msgs, err = k.request(unix.RTM_GETADDR, unix.NLM_F_DUMP, nl.NewIfAddrmsg(unix.AF_UNSPEC)).Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break // otherwise the list changed while it was read, and may have holes
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	all := make([]present, 0, len(msgs))
	for _, m := range msgs {
		if a, ok := parseAddress(m); ok {
			all = append(all, a)
		}
	}
	return all, nil
}

// parseAddress reads the body of an RTM_NEWADDR or RTM_DELADDR message.
func parseAddress(m []byte) (present, bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return present{}, false
	}
	head := nl.DeserializeIfAddrmsg(m)
	attrs, err := nl.ParseRouteAttr(m[unix.SizeofIfAddrmsg:])
	if err != nil {
		return present{}, false
	}
	a := present{index: int(head.Index), flags: uint32(head.IfAddrmsg.Flags), valid: forever}
	var local, other netip.Addr
	for _, at := range attrs {
		number := func() uint32 {
			if len(at.Value) < 4 {
				return 0
			}
			return binary.NativeEndian.Uint32(at.Value)
		}
		switch at.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_ADDRESS:
			other, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_LABEL:
			a.label = nl.BytesToString(at.Value)
		case unix.IFA_FLAGS:
			a.flags = number()
		case unix.IFA_RT_PRIORITY:
			a.metric = number()
		case unix.IFA_CACHEINFO:
			if len(at.Value) >= 8 {
				a.valid = binary.NativeEndian.Uint32(at.Value[4:]) // ifa_prefered comes first
			}
		case ifaProto:
			if len(at.Value) > 0 {
				a.proto = at.Value[0]
			}
		}
	}
	// IPv6 sends only IFA_ADDRESS; where both are there, that is the far end.
	ip := cmp.Or(local, other)
	a.prefix = netip.PrefixFrom(ip, int(head.Prefixlen))
	return a, a.prefix.IsValid()
}

// put adds an address, or renews it with its mark and lifetime, for whole
// seconds. It may be called for one that is there already.
func (k *kernel) put(a Address, index int, seconds uint32) error {
	head, ip := ifAddr(a, index)
	flags := make([]byte, 4)
	binary.NativeEndian.PutUint32(flags, flagsOn(index))
	life := make([]byte, unix.SizeofIfaCacheinfo)
	binary.NativeEndian.PutUint32(life[4:], seconds) // ifa_prefered before it stays 0
	metric := make([]byte, 4)
	binary.NativeEndian.PutUint32(metric, k.mark.metric)

	req := k.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK, head)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
	req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, flags))
	req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life))
	req.AddData(nl.NewRtAttr(unix.IFA_RT_PRIORITY, metric))
	req.AddData(nl.NewRtAttr(ifaProto, []byte{protocol}))
	if a.IP.Is4() {
		req.AddData(nl.NewRtAttr(unix.IFA_LABEL, nl.ZeroTerminated(k.mark.label(a.Interface))))
	}
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return err
	}
	return k.removeRoute(a.IP, index)
}

// remove deletes an address; one that is gone already is no error.
func (k *kernel) remove(ip netip.Addr, index int) error {
	head, raw := ifAddr(Address{IP: ip}, index)
	req := k.request(unix.RTM_DELADDR, unix.NLM_F_ACK, head)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, raw))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, raw))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ENODEV) {
		err = nil
	}
	return errors.Join(err, k.removeRoute(ip, index))
}

func ifAddr(a Address, index int) (*nl.IfAddrmsg, []byte) {
	family := unix.AF_INET6
	if a.IP.Is4() {
		family = unix.AF_INET
	}
	head := nl.NewIfAddrmsg(family)
	head.Prefixlen = uint8(a.IP.BitLen())
	head.Index = uint32(index)
	return head, a.IP.AsSlice()
}

// local reports whether packets to ip are delivered on this host.
func (k *kernel) local(ip netip.Addr) bool {
	routes, err := k.handle.RouteGet(ip.AsSlice())
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}

// awaitLocal waits until packets to ip are delivered here: the kernel adds the
// route of an IPv6 address a little after it has acknowledged the address.
func (k *kernel) awaitLocal(ctx context.Context, ip netip.Addr, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("there is none after %v", limit))
	defer cancel()
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for !k.local(ip) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the local route: %w", context.Cause(ctx))
		}
	}
	return nil
}

// usable returns an interface that can have an address now: one on which neighbours
// can be spoken to, or the loopback interface.
func (k *kernel) usable(name string) (link, error) {
	l, err := k.link(name)
	switch {
	case err != nil:
		return link{}, err
	case !l.arp && !l.lo:
		return link{}, fmt.Errorf("interface %s has no neighbours that could ask for an address", name)
	case !l.up:
		return link{}, fmt.Errorf("interface %s is down", name)
	}
	return l, nil
}

// linkLocal returns an interface's own IPv6 address, or none if it has none.
func (k *kernel) linkLocal(index int) (netip.Addr, error) {
	all, err := k.addresses()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range all {
		if ip := a.prefix.Addr(); a.index == index && ip.Is6() && ip.IsLinkLocalUnicast() && a.flags&unix.IFA_F_TENTATIVE == 0 {
			return ip, nil
		}
	}
	return netip.Addr{}, nil
}

// name returns an interface's name, or its number if it is gone meanwhile.
func (k *kernel) name(index int) string {
	l, err := k.handle.LinkByIndex(index)
	if err != nil {
		return fmt.Sprintf("interface %d", index)
	}
	return l.Attrs().Name
}
