package vip

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An address with a link-layer address of its own needs rules, in two firewall tables:
//
//   - On every other interface the host does not answer for it, and does not name it as
//     its own when it asks somebody: a neighbour would learn that interface's link-layer
//     address. The question is asked in the host's own name instead (what arp_announce=2
//     does, without touching a setting that is not ours).
//   - On its own interface the host answers for it and for nothing else, and sends
//     nothing else: neither for the host's other addresses nor group membership reports,
//     of which the kernel sends one when the address ends, by itself or not. By one frame
//     of a host that was left behind a switch would lead the clients back to it.
//   - Nothing that arrives on that interface for another host is forwarded, and no router
//     is listened to there.
//
// What the host answers leaves by the interface that leads to the client, in that one's
// own name, as packets of a VRRP router do. So nothing of this rests on copied routes.

// MACTable returns the name of the tables (families arp and inet) for a cluster's
// addresses with a link-layer address of their own.
func MACTable(clusterName string) string { return "baton_" + clusterName + "_mac" }

const (
	chainForward = "forward"
	// quietPriority is before the rules that mute: what asks in the host's own name is
	// nothing to mute.
	quietPriority = -10
)

// quietChain is a base chain with its rules.
type quietChain struct {
	name  string
	hook  *nftables.ChainHook
	rules [][]expr.Any
}

func quietFamilies() []nftables.TableFamily {
	return []nftables.TableFamily{nftables.TableFamilyARP, nftables.TableFamilyINet}
}

// spared is a virtual address whose interface is there, or about to be, and the host's own
// address in whose name it asks instead of it: its own in that network, invalid if it has
// none, and for IPv6, where the kernel does that by itself.
type spared struct {
	Address
	own netip.Addr
}

// quietChains is what those addresses need in a table.
func (s *Set) quietChains(f nftables.TableFamily, of []spared) []quietChain {
	in, out := quietChain{name: chainIn, hook: nftables.ChainHookInput}, quietChain{name: chainOut, hook: nftables.ChainHookOutput}
	forward := quietChain{name: chainForward, hook: nftables.ChainHookForward}
	arp := f == nftables.TableFamilyARP
	if arp { // it has hooks of its own: NF_ARP_IN, NF_ARP_OUT
		in.hook, out.hook = nftables.ChainHookRef(0), nftables.ChainHookRef(1)
	}
	const sender, target = 14, 24 // places of the addresses in a packet of ARP
	for _, a := range of {
		device := s.kernel.mark.device(a.Address)
		on, off := interfaceIs(expr.MetaKeyIIFNAME, device, expr.CmpOpEq), interfaceIs(expr.MetaKeyIIFNAME, device, expr.CmpOpNeq)
		onOut, offOut := interfaceIs(expr.MetaKeyOIFNAME, device, expr.CmpOpEq), interfaceIs(expr.MetaKeyOIFNAME, device, expr.CmpOpNeq)
		ip := a.IP.AsSlice()
		switch {
		case arp && a.IP.Is4():
			in.rules = append(in.rules, drop(off, match(expr.PayloadBaseNetworkHeader, target, ip)), drop(on, differs(expr.PayloadBaseNetworkHeader, target, ip)))
			out.rules = append(out.rules, instead(a.own, offOut, match(expr.PayloadBaseNetworkHeader, sender, ip)), drop(onOut, differs(expr.PayloadBaseNetworkHeader, sender, ip)))
		case arp:
			in.rules, out.rules = append(in.rules, drop(on)), append(out.rules, drop(onOut))
		default:
			in.rules = append(in.rules, drop(on, icmpv6(ndRouter)), drop(on, icmpv6(ndRedirect)))
			if a.IP.Is6() {
				out.rules = append(out.rules, accept(onOut, icmpv6(ndAdvert), match(expr.PayloadBaseTransportHeader, 8, ip)))
			}
			out.rules = append(out.rules, drop(onOut))
			forward.rules = append(forward.rules, drop(on))
		}
	}
	if arp {
		return []quietChain{in, out}
	}
	return []quietChain{in, out, forward}
}

const (
	ndRouter   = 134
	ndRedirect = 137
)

// quietLocked makes sure that the rules are there for every address whose interface is,
// and for those that are about to have theirs; all of them or none. The caller holds mu.
func (s *Set) quietLocked(next ...Address) error {
	of, err := s.spared(next...)
	if err != nil {
		return err
	}
	if len(of) == 0 {
		_, err := s.unquietLocked()
		return err
	}
	there, err := s.quietFor(of)
	if there || err != nil {
		return err
	}
	c, err := s.firewall()
	if err != nil {
		return err
	}
	for _, f := range quietFamilies() {
		t := &nftables.Table{Name: MACTable(s.cfg.tableName()), Family: f}
		c.AddTable(t) // so that there is one to delete, in the same transaction
		c.DelTable(t)
		c.AddTable(t)
		for _, q := range s.quietChains(f, of) {
			chain := c.AddChain(&nftables.Chain{Name: q.name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: q.hook, Priority: nftables.ChainPriorityRef(quietPriority)})
			for _, exprs := range q.rules {
				c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: exprs, UserData: s.version(of)})
			}
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("keep other interfaces from answering for the virtual addresses, with nftables: %w", err)
	}
	return nil
}

// spared lists the addresses that need rules.
func (s *Set) spared(next ...Address) ([]spared, error) {
	links, err := s.kernel.devices()
	if err != nil {
		return nil, err
	}
	var of []spared
	for _, a := range s.cfg.Addresses {
		is := func(l netlink.Link) bool { return l.Attrs().Name == s.kernel.mark.device(a) }
		if a.virtual() && (slices.Contains(next, a) || slices.ContainsFunc(links, is)) {
			of = append(of, spared{Address: a})
		}
	}
	if len(of) == 0 {
		return nil, nil
	}
	all, err := s.kernel.addresses()
	if err != nil {
		return nil, err
	}
	for i, a := range of {
		for _, p := range all {
			if p.prefix.Addr().Is4() && !p.prefix.IsSingleIP() && p.prefix.Contains(a.IP) && !of[i].own.IsValid() {
				of[i].own = p.prefix.Addr()
			}
		}
	}
	return of, nil
}

// version is the comment of every rule. Rules of other addresses have another one.
func (s *Set) version(of []spared) []byte {
	h := fnv.New32a()
	for _, a := range of {
		fmt.Fprint(h, a.IP, s.kernel.mark.device(a.Address), a.own)
	}
	return userdata.AppendString(nil, userdata.TypeComment, fmt.Sprintf("baton %08x", h.Sum32()))
}

// isQuiet asks the kernel whether every rule is there.
func (s *Set) isQuiet() (bool, error) {
	of, err := s.spared()
	if len(of) == 0 || err != nil {
		return err == nil, err
	}
	return s.quietFor(of)
}

func (s *Set) quietFor(of []spared) (bool, error) {
	tables, err := s.tables(MACTable(s.cfg.tableName()), quietFamilies())
	if err != nil || len(tables) < len(quietFamilies()) {
		return false, err
	}
	c, err := s.firewall()
	if err != nil {
		return false, err
	}
	for _, t := range tables {
		for _, q := range s.quietChains(t.Family, of) {
			rules, err := c.GetRules(t, &nftables.Chain{Table: t, Name: q.name})
			if errors.Is(err, unix.ENOENT) {
				return false, nil
			}
			if err != nil {
				return false, fmt.Errorf("read table %s: %w", t.Name, err)
			}
			if len(rules) != len(q.rules) || slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return !bytes.Equal(r.UserData, s.version(of)) }) {
				return false, nil
			}
		}
	}
	return true, nil
}

// unquietLocked removes the rules, once no interface is left that they are for. The
// caller holds mu.
func (s *Set) unquietLocked() (removed []Leftover, err error) {
	tables, err := s.tables(MACTable(s.cfg.tableName()), quietFamilies())
	if err != nil || len(tables) == 0 {
		return nil, err
	}
	c, err := s.firewall()
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		c.DelTable(t)
		removed = append(removed, Leftover{Table: familyName(t.Family) + " " + t.Name})
	}
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("remove the rules for virtual addresses from nftables: %w", err)
	}
	return removed, nil
}

// interfaceIs matches the name of the interface that a packet comes in on or leaves by.
func interfaceIs(key expr.MetaKey, name string, op expr.CmpOp) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: padded}}
}

func differs(base expr.PayloadBase, offset uint32, value []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(value))},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: value},
	}
}

func accept(conditions ...[]expr.Any) []expr.Any {
	return append(slices.Concat(conditions...), &expr.Verdict{Kind: expr.VerdictAccept})
}

// instead puts another sender into a packet of ARP; without one the packet is dropped.
func instead(sender netip.Addr, conditions ...[]expr.Any) []expr.Any {
	if !sender.IsValid() {
		return drop(conditions...)
	}
	return append(slices.Concat(conditions...),
		&expr.Immediate{Register: 1, Data: sender.AsSlice()},
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 14, Len: 4})
}
