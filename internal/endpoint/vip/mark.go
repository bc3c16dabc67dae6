package vip

import (
	"fmt"
	"hash/fnv"

	"golang.org/x/sys/unix"
)

// mark is how an address on this host shows that it is Baton's, and which
// cluster's. An address that carries it may be removed by this cluster, and no
// other ever is.
//
// The kernel keeps two numbers with an address that mean nothing to it for a
// /32 or /128 without a prefix route: the protocol (IFA_PROTO, Linux 5.18: who
// added it) and the metric of the prefix route (IFA_RT_PRIORITY, Linux 4.18).
// The first says Baton, the second which cluster. The label of an IPv4 address
// says the same to people who type `ip address`.
type mark struct {
	metric uint32
	hash   string // of the cluster's name, for the label
}

// protocol is Baton's number in IFA_PROTO; those from 4 on are free for use.
const protocol = 0xba

const ifaProto = 11 // IFA_PROTO, linux/if_addr.h

func markOf(cluster string) mark {
	h := fnv.New32a()
	h.Write([]byte(cluster))
	sum := h.Sum32()
	// Folded to 24 bits; the highest byte shows in `ip address` whose it is.
	return mark{metric: protocol<<24 | (sum>>24^sum)&0xffffff, hash: fmt.Sprintf("%08x", sum)}
}

// label returns the label of an IPv4 address on an interface: its name, a
// colon and some of the hash, 15 characters at most. It begins with the name,
// for ifconfig and the Java library look the interface up by it. With a name
// so long that nothing fits behind it, it is the name alone, as by default.
func (m mark) label(ifname string) string {
	room := unix.IFNAMSIZ - 1 - len(ifname) - 1
	if room < 3 {
		return ifname
	}
	return ifname + ":" + m.hash[:min(room, len(m.hash))]
}

// owns reports whether an address was bound by this cluster. Kernels before
// 5.18 report no protocol; the metric and the host prefix decide alone there.
func (m mark) owns(a present) bool {
	return a.metric == m.metric && (a.proto == protocol || a.proto == 0) && a.prefix.IsSingleIP()
}
