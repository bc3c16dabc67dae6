package fence

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The names in the table. An administrator reads them in `nft list ruleset`.
const (
	chainInput    = "input"    // base chain: everything that arrives for this host
	chainOutput   = "output"   // base chain: everything that this host sends
	chainRequests = "requests" // what arrives for the database port
	chainAnswers  = "answers"  // what leaves the database port
	chainNodeIn   = "node-requests"
	chainNodeOut  = "node-answers"
	chainBlocked  = "blocked" // between this host and a source it must not receive from
	chainUntil    = "until"   // holds the one rule with the absolute end of the lease

	setPorts = "ports" // the database ports
	setOpen  = "open"  // holds "tcp" while clients may pass; the element's timeout is what is left of the lease
)

// sets by address family
const (
	setOwn     = "own"     // this node's own addresses, never virtual ones
	setNodes   = "nodes"   // the other nodes of the cluster
	setCut     = "cut"     // nodes whose replication from here is cut
	setSources = "sources" // address and port that this host must not replicate from
)

// gatePriority puts the gate before the usual filter chains (0): a host's own
// firewall that drops what we would reset would cost the client a second.
const gatePriority = -10

type chain struct {
	name     string
	base     bool
	hook     uint32
	priority int32
}

type set struct {
	name  string
	key   nftables.SetDatatype
	flags uint32
}

type rule struct {
	chain   string
	comment string
	exprs   []expr.Any
}

// family is what differs between IPv4 and IPv6 in a rule.
type family struct {
	suffix    string
	nfproto   byte
	addr      nftables.SetDatatype
	saddr     uint32 // offset of the source address in the network header
	daddr     uint32
	addrLen   uint32
	registers uint32 // 32-bit registers that an address takes
}

func families() []family {
	return []family{
		{"4", unix.NFPROTO_IPV4, nftables.TypeIPAddr, 12, 16, 4, 1},
		{"6", unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 8, 24, 16, 4},
	}
}

func suffix(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

func gateChains() []chain {
	return []chain{
		{name: chainUntil},
		{name: chainNodeIn},
		{name: chainNodeOut},
		{name: chainBlocked},
		{name: chainRequests},
		{name: chainAnswers},
		{name: chainInput, base: true, hook: unix.NF_INET_LOCAL_IN, priority: gatePriority},
		{name: chainOutput, base: true, hook: unix.NF_INET_LOCAL_OUT, priority: gatePriority},
	}
}

func gateSets() []set {
	sets := []set{
		{name: setPorts, key: nftables.TypeInetService},
		{name: setOpen, key: nftables.TypeInetProto, flags: unix.NFT_SET_TIMEOUT},
	}
	for _, f := range families() {
		sets = append(sets,
			set{name: setOwn + f.suffix, key: f.addr},
			set{name: setNodes + f.suffix, key: f.addr},
			set{name: setCut + f.suffix, key: f.addr},
			set{name: setSources + f.suffix, key: nftables.MustConcatSetType(f.addr, nftables.TypeInetService), flags: nftSetConcat},
		)
	}
	return sets
}

// gateRules are all rules but the one in chainUntil.
func gateRules() []rule {
	rules := []rule{
		{chainInput, "to the database", seq(isTCP(), inSet(dport(), setPorts), jump(expr.VerdictGoto, chainRequests))},
		{chainOutput, "from the database", seq(isTCP(), inSet(sport(), setPorts), jump(expr.VerdictGoto, chainAnswers))},
		// The kernel's own resets, those of this gate included, must get out.
		{chainAnswers, "resets leave", seq(isReset(), verdict(expr.VerdictAccept))},
		{chainBlocked, "resets pass", seq(isReset(), verdict(expr.VerdictAccept))},
		{chainBlocked, "no replication from an old source", reset()},
	}
	for _, f := range families() {
		rules = append(rules,
			rule{chainInput, "from an old source", seq(isTCP(), f.is(), f.inSources(f.saddr, 0), jump(expr.VerdictGoto, chainBlocked))},
			rule{chainOutput, "to an old source", seq(isTCP(), f.is(), f.inSources(f.daddr, 2), jump(expr.VerdictGoto, chainBlocked))},
			rule{chainRequests, "from a node, to an own address", seq(f.is(),
				inSet(f.load(f.saddr), setNodes+f.suffix), inSet(f.load(f.daddr), setOwn+f.suffix), jump(expr.VerdictGoto, chainNodeIn))},
			rule{chainAnswers, "to a node, from an own address", seq(f.is(),
				inSet(f.load(f.daddr), setNodes+f.suffix), inSet(f.load(f.saddr), setOwn+f.suffix), jump(expr.VerdictGoto, chainNodeOut))},
			rule{chainNodeIn, "this node is cut off", seq(f.is(), inSet(f.load(f.saddr), setCut+f.suffix), reset())},
			rule{chainNodeOut, "this node is cut off", seq(f.is(), inSet(f.load(f.daddr), setCut+f.suffix), verdict(expr.VerdictDrop))},
		)
	}
	open := seq(one(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}),
		one(&expr.Lookup{SourceRegister: 1, SetName: setOpen}), jump(expr.VerdictJump, chainUntil))
	return append(rules,
		rule{chainRequests, "clients, while the gate is open", open},
		rule{chainRequests, "closed", reset()},
		rule{chainAnswers, "to clients, while the gate is open", open},
		rule{chainAnswers, "closed", verdict(expr.VerdictDrop)},
	)
}

// The comments of the rules in chainUntil.
const (
	untilReadOnly = "read-only: no end"
	untilLease    = "end of the lease, wall clock"
)

// untilRules is what chainUntil holds in a mode.
func untilRules(m Mode, end time.Time) []rule {
	switch m {
	case ReadOnly:
		return []rule{{chainUntil, untilReadOnly, verdict(expr.VerdictAccept)}}
	case Leased:
		return []rule{{chainUntil, untilLease, seq(before(end), verdict(expr.VerdictAccept))}}
	}
	return nil
}

func seq(parts ...[]expr.Any) []expr.Any { return slices.Concat(parts...) }
func one(e expr.Any) []expr.Any          { return []expr.Any{e} }

func isTCP() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
	}
}

func sport() []expr.Any { return port(0, 1) }
func dport() []expr.Any { return port(2, 1) }

func port(offset, register uint32) []expr.Any {
	return one(&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2})
}

func isReset() []expr.Any {
	const flagsOffset, rst = 13, 0x04 // RFC 9293, section 3.1
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flagsOffset, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{rst}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}},
	}
}

func (f family) is() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f.nfproto}},
	}
}

func (f family) load(offset uint32) []expr.Any {
	return one(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.addrLen})
}

// inSources matches an address and a port of the packet against setSources.
func (f family) inSources(addrOffset, portOffset uint32) []expr.Any {
	const first = unix.NFT_REG32_00 // the parts of a concatenation lie in consecutive 32-bit registers
	return seq(
		one(&expr.Payload{DestRegister: first, Base: expr.PayloadBaseNetworkHeader, Offset: addrOffset, Len: f.addrLen}),
		port(portOffset, first+f.registers),
		one(&expr.Lookup{SourceRegister: first, SetName: setSources + f.suffix}),
	)
}

func inSet(load []expr.Any, name string) []expr.Any {
	return seq(load, one(&expr.Lookup{SourceRegister: 1, SetName: name}))
}

func jump(kind expr.VerdictKind, to string) []expr.Any {
	return one(&expr.Verdict{Kind: kind, Chain: to})
}

func verdict(kind expr.VerdictKind) []expr.Any { return one(&expr.Verdict{Kind: kind}) }

func reset() []expr.Any { return one(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}) }

// before matches packets that are looked at before end on the wall clock. The
// kernel loads the time in host order and compares bytes, so it is turned first.
func before(end time.Time) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: nftMetaTimeNS, Register: 1},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 8, Size: 8},
		&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binaryutil.BigEndian.PutUint64(uint64(end.UnixNano()))},
	}
}

func portKey(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

// sourceKey is an address and a port as setSources holds them: each part
// padded to a multiple of four bytes.
func sourceKey(a netip.AddrPort) []byte {
	return append(binary.BigEndian.AppendUint16(a.Addr().AsSlice(), a.Port()), 0, 0)
}

func openElement(timeout time.Duration) []element {
	return []element{{key: []byte{unix.IPPROTO_TCP}, timeout: timeout}}
}

func (s Scope) portElements() []element {
	var elems []element
	for _, p := range s.Ports {
		elems = append(elems, element{key: portKey(p)})
	}
	return elems
}

// addrElements returns those of addrs that are of the family.
func (f family) addrElements(addrs []netip.Addr) []element {
	var elems []element
	for _, a := range addrs {
		if suffix(a) == f.suffix {
			elems = append(elems, element{key: a.AsSlice()})
		}
	}
	return elems
}

func (f family) sourceElements(sources []netip.AddrPort) []element {
	var elems []element
	for _, s := range sources {
		if suffix(s.Addr()) == f.suffix {
			elems = append(elems, element{key: sourceKey(s)})
		}
	}
	return elems
}
