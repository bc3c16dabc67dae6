package vip

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
)

// The Ethernet protocols that we speak, linux/if_ether.h.
const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

const (
	etherLen   = 14
	arpLen     = etherLen + 28
	ipv6Len    = 40
	ndLen      = 24 // RFC 4861 4.3 and 4.4, without options
	linkOptLen = 8  // RFC 4861 4.6.1 for a 6-byte address

	arpRequest = 1
	arpReply   = 2

	protoICMPv6 = 58
	ndSolicit   = 135
	ndAdvert    = 136
	ndHopLimit  = 255 // RFC 4861 7.1: shows that no router passed the packet on

	flagOverride = 0x20
	optSource    = 1
	optTarget    = 2
)

func broadcast() net.HardwareAddr { return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

func noMAC() net.HardwareAddr { return make(net.HardwareAddr, 6) }

// announcements returns the frames that teach neighbours that ip is at mac.
//
// IPv4 (RFC 5227 3): the request form, and the reply form with our own address
// as target too. Linux takes a reply with another target for an ordinary one
// and ignores it when its entry changed less than a second ago. IPv6
// (RFC 4861 7.2.6): an unsolicited advertisement with the override flag.
func announcements(ip netip.Addr, mac net.HardwareAddr) [][]byte {
	if ip.Is6() {
		return [][]byte{advertisement(ip, mac)}
	}
	return [][]byte{
		arpFrame(arpRequest, mac, ip, noMAC(), ip),
		arpFrame(arpReply, mac, ip, mac, ip),
	}
}

// question returns the frame that asks who has ip. With no asker it is a probe
// for duplicates, which changes no neighbour's entry: RFC 5227 2.1.1 for IPv4
// and RFC 4862 5.4.2 for IPv6. An IPv6 owner answers that to all nodes, which
// teaches them its address anew; asked by somebody it answers him alone.
func question(ip netip.Addr, mac net.HardwareAddr, asker netip.Addr) []byte {
	if ip.Is6() {
		if !asker.IsValid() {
			asker = netip.IPv6Unspecified()
		}
		return solicitation(ip, mac, asker)
	}
	return arpFrame(arpRequest, mac, netip.IPv4Unspecified(), noMAC(), ip)
}

func ethernet(dst, src net.HardwareAddr, proto uint16, payload int) []byte {
	f := make([]byte, etherLen, etherLen+payload)
	copy(f, dst)
	copy(f[6:], src)
	binary.BigEndian.PutUint16(f[12:], proto)
	return f
}

// arpFrame builds a broadcast ARP packet for IPv4 over Ethernet, RFC 826.
func arpFrame(op uint16, sha net.HardwareAddr, spa netip.Addr, tha net.HardwareAddr, tpa netip.Addr) []byte {
	f := ethernet(broadcast(), sha, etherARP, 28)
	f = append(f, 0, 1, 8, 0, 6, 4) // Ethernet, IPv4, address lengths
	f = binary.BigEndian.AppendUint16(f, op)
	f = append(append(f, sha...), spa.AsSlice()...)
	return append(append(f, tha...), tpa.AsSlice()...)
}

func advertisement(ip netip.Addr, mac net.HardwareAddr) []byte {
	allNodes := netip.IPv6LinkLocalAllNodes()
	icmp := make([]byte, 8, ndLen+linkOptLen)
	icmp[0], icmp[4] = ndAdvert, flagOverride
	icmp = append(icmp, ip.AsSlice()...)
	icmp = append(append(icmp, optTarget, 1), mac...)
	return icmpv6Frame(multicastMAC(allNodes), mac, ip, allNodes, icmp)
}

func solicitation(ip netip.Addr, mac net.HardwareAddr, asker netip.Addr) []byte {
	icmp := make([]byte, 8, ndLen+linkOptLen)
	icmp[0] = ndSolicit
	icmp = append(icmp, ip.AsSlice()...)
	if !asker.IsUnspecified() { // RFC 4861 4.3: no such option from an unspecified source
		icmp = append(append(icmp, optSource, 1), mac...)
	}
	group := solicitedNode(ip)
	return icmpv6Frame(multicastMAC(group), mac, asker, group, icmp)
}

func icmpv6Frame(dstMAC, srcMAC net.HardwareAddr, src, dst netip.Addr, icmp []byte) []byte {
	binary.BigEndian.PutUint16(icmp[2:], icmpv6Sum(src, dst, icmp))
	f := ethernet(dstMAC, srcMAC, etherIPv6, ipv6Len+len(icmp))
	f = append(f, 0x60, 0, 0, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(len(icmp)))
	f = append(f, protoICMPv6, ndHopLimit)
	f = append(append(f, src.AsSlice()...), dst.AsSlice()...)
	return append(f, icmp...)
}

// solicitedNode returns the multicast group of an address, RFC 4291 2.7.1.
func solicitedNode(ip netip.Addr) netip.Addr {
	b := netip.MustParseAddr("ff02::1:ff00:0").As16()
	a := ip.As16()
	copy(b[13:], a[13:])
	return netip.AddrFrom16(b)
}

// multicastMAC returns where a multicast packet goes on Ethernet, RFC 2464 7.
func multicastMAC(group netip.Addr) net.HardwareAddr {
	b := group.As16()
	return append(net.HardwareAddr{0x33, 0x33}, b[12:]...)
}

// icmpv6Sum is the checksum over the pseudo-header (RFC 8200 8.1) and an ICMPv6
// message whose own checksum is 0.
func icmpv6Sum(src, dst netip.Addr, icmp []byte) uint16 {
	sum := uint32(len(icmp)) + protoICMPv6
	for _, part := range [][]byte{src.AsSlice(), dst.AsSlice(), icmp} {
		for len(part) > 1 {
			sum += uint32(binary.BigEndian.Uint16(part))
			part = part[2:]
		}
		if len(part) == 1 {
			sum += uint32(part[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// claim is what a frame says of the owner of an address.
type claim struct {
	ip  netip.Addr
	mac net.HardwareAddr
}

// claimIn returns the address that the sender of an Ethernet frame claims to
// have: the sender address of an ARP packet, the target of a neighbour
// advertisement, the source of a neighbour solicitation.
func claimIn(frame []byte) (claim, bool) {
	if len(frame) < etherLen {
		return claim{}, false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return claimInARP(frame)
	case etherIPv6:
		return claimInND(frame)
	}
	return claim{}, false
}

func claimInARP(f []byte) (claim, bool) {
	if len(f) < arpLen || !bytes.Equal(f[etherLen:etherLen+6], []byte{0, 1, 8, 0, 6, 4}) {
		return claim{}, false
	}
	ip := netip.AddrFrom4([4]byte(f[etherLen+14:]))
	if ip.IsUnspecified() { // a probe claims nothing
		return claim{}, false
	}
	return claim{ip, bytes.Clone(f[etherLen+8 : etherLen+14])}, true
}

// claimInND trusts only what RFC 4861 7.1 lets a node accept.
func claimInND(f []byte) (claim, bool) {
	if len(f) < etherLen+ipv6Len+ndLen {
		return claim{}, false
	}
	ip6, icmp := f[etherLen:etherLen+ipv6Len], f[etherLen+ipv6Len:]
	length := int(binary.BigEndian.Uint16(ip6[4:]))
	if ip6[0]>>4 != 6 || ip6[6] != protoICMPv6 || ip6[7] != ndHopLimit || length < ndLen || length > len(icmp) || icmp[1] != 0 {
		return claim{}, false
	}
	icmp = icmp[:length] // what follows is padding
	src, dst := netip.AddrFrom16([16]byte(ip6[8:])), netip.AddrFrom16([16]byte(ip6[24:]))
	if icmpv6Sum(src, dst, icmp) != 0 {
		return claim{}, false
	}
	var ip netip.Addr
	var option byte
	switch icmp[0] {
	case ndAdvert:
		ip, option = netip.AddrFrom16([16]byte(icmp[8:])), optTarget
	case ndSolicit:
		ip, option = src, optSource
	default:
		return claim{}, false
	}
	if ip.IsUnspecified() || ip.IsMulticast() {
		return claim{}, false
	}
	mac := linkOption(icmp[ndLen:], option)
	if mac == nil {
		mac = bytes.Clone(f[6:12])
	}
	return claim{ip, mac}, true
}

// linkOption finds a link-layer address among the options, RFC 4861 4.6.
func linkOption(options []byte, kind byte) net.HardwareAddr {
	for len(options) >= linkOptLen {
		n := int(options[1]) * 8
		if n == 0 || n > len(options) {
			return nil
		}
		if options[0] == kind && n == linkOptLen {
			return bytes.Clone(options[2:8])
		}
		options = options[n:]
	}
	return nil
}
