package tickle

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	ipv4Len = 20
	ipv6Len = 40
	tcpLen  = 20

	hopLimit = 64
	window   = 1234 // any
	synFlag  = 0x02
	ackFlag  = 0x10
)

// packet is a segment without data from one end of a connection to the other, with the
// IP header (RFC 791, RFC 8200) in front of the TCP one (RFC 9293). The kernel fills
// in the IPv4 header's checksum.
func packet(from, to netip.AddrPort, n number) []byte {
	var b []byte
	if from.Addr().Is4() {
		b = make([]byte, ipv4Len+tcpLen)
		b[0] = 4<<4 | ipv4Len/4
		binary.BigEndian.PutUint16(b[2:], ipv4Len+tcpLen)
		b[6] = 0x40 // don't fragment
		b[8], b[9] = hopLimit, unix.IPPROTO_TCP
		copy(b[12:], from.Addr().AsSlice())
		copy(b[16:], to.Addr().AsSlice())
	} else {
		b = make([]byte, ipv6Len+tcpLen)
		b[0] = 6 << 4
		binary.BigEndian.PutUint16(b[4:], tcpLen)
		b[6], b[7] = unix.IPPROTO_TCP, hopLimit
		copy(b[8:], from.Addr().AsSlice())
		copy(b[24:], to.Addr().AsSlice())
	}
	t := b[len(b)-tcpLen:]
	binary.BigEndian.PutUint16(t[0:], from.Port())
	binary.BigEndian.PutUint16(t[2:], to.Port())
	binary.BigEndian.PutUint32(t[4:], n.seq)
	binary.BigEndian.PutUint32(t[8:], n.ack)
	t[12], t[13] = tcpLen/4<<4, n.flags
	binary.BigEndian.PutUint16(t[14:], window)
	binary.BigEndian.PutUint16(t[16:], checksum(from.Addr(), to.Addr(), t))
	return b
}

// checksum is that of a TCP segment whose own is still zero, with the pseudo header.
func checksum(from, to netip.Addr, segment []byte) uint16 {
	sum := uint32(unix.IPPROTO_TCP) + uint32(len(segment))
	for _, part := range [][]byte{from.AsSlice(), to.AsSlice(), segment} {
		for ; len(part) >= 2; part = part[2:] {
			sum += uint32(binary.BigEndian.Uint16(part))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
