package vip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A muted host keeps an address and the connections on it, but its neighbours
// cannot learn from it where the address is: it neither answers who asks nor
// names the address as its own when it asks somebody itself. It is what makes
// make-before-break possible. One nftables table per family does it, for the
// cluster's addresses only, and stays when the agent dies: an address that
// came back to voice by that would be a second owner.

// MuteTable returns the name of the tables (families arp and ip6) that mute a
// cluster's addresses.
func MuteTable(clusterName string) string { return "baton_" + clusterName + "_mute" }

const (
	chainIn  = "in"
	chainOut = "out"
)

// Mute makes this host silent about the cluster's addresses, all at once or
// not at all. It is idempotent. The announcements of Run stop too.
func (s *Set) Mute(_ context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.muted = true
	c, err := s.firewall()
	if err != nil {
		return err
	}
	for _, f := range s.muteFamilies() {
		t := &nftables.Table{Name: MuteTable(s.cfg.tableName()), Family: f}
		c.AddTable(t) // so that there is one to delete, in the same transaction
		c.DelTable(t)
		c.AddTable(t)
		s.addMuteRules(c, t)
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("mute the virtual addresses with nftables: %w", err)
	}
	return nil
}

// Unmute lets this host answer for the addresses again. Reannounce or Bind
// tells the neighbours.
func (s *Set) Unmute(_ context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.unmuteLocked()
	return err
}

// unmuteLocked reports whether there was something to remove. The caller holds
// mu.
func (s *Set) unmuteLocked() (changed bool, err error) {
	tables, err := s.muteTables()
	if err != nil {
		return false, err
	}
	if len(tables) > 0 {
		c, err := s.firewall()
		if err != nil {
			return false, err
		}
		for _, t := range tables {
			c.DelTable(t)
		}
		if err := c.Flush(); err != nil {
			return false, fmt.Errorf("unmute the virtual addresses with nftables: %w", err)
		}
	}
	s.muted = false
	return len(tables) > 0, nil
}

// observeMute asks the kernel whether every rule of every family is there.
func (s *Set) observeMute() (bool, error) {
	tables, err := s.muteTables()
	if err != nil || len(tables) < len(s.muteFamilies()) {
		return false, err
	}
	c, err := s.firewall()
	if err != nil {
		return false, err
	}
	for _, t := range tables {
		for _, chain := range []string{chainIn, chainOut} {
			rules, err := c.GetRules(t, &nftables.Chain{Table: t, Name: chain})
			if err != nil {
				return false, fmt.Errorf("read table %s: %w", t.Name, err)
			}
			if len(rules) < s.countMuteRules(t.Family, chain) {
				return false, nil
			}
		}
	}
	return true, nil
}

func (s *Set) firewall() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.WithNetNSFd(s.cfg.Namespace))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return c, nil
}

// muteTables returns this cluster's tables that are there.
func (s *Set) muteTables() ([]*nftables.Table, error) {
	return s.tables(MuteTable(s.cfg.tableName()), []nftables.TableFamily{nftables.TableFamilyARP, nftables.TableFamilyIPv6})
}

// tables returns those of a name that are there.
func (s *Set) tables(name string, families []nftables.TableFamily) ([]*nftables.Table, error) {
	c, err := s.firewall()
	if err != nil {
		return nil, err
	}
	var ours []*nftables.Table
	for _, f := range families {
		all, err := c.ListTablesOfFamily(f)
		if lacksTables(err) {
			continue // this kernel cannot have such tables, so there are none
		}
		if err != nil {
			return nil, fmt.Errorf("list nftables: %w", err)
		}
		for _, t := range all {
			if t.Name == name && t.Family == f {
				ours = append(ours, t)
			}
		}
	}
	return ours, nil
}

func lacksTables(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)
}

func familyName(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyARP:
		return "arp"
	case nftables.TableFamilyINet:
		return "inet"
	}
	return "ip6"
}

// muteFamilies returns the families of tables that the addresses need.
func (s *Set) muteFamilies() []nftables.TableFamily {
	var v4, v6 []nftables.TableFamily
	for _, a := range s.cfg.Addresses {
		if a.IP.Is4() {
			v4 = []nftables.TableFamily{nftables.TableFamilyARP}
		} else {
			v6 = []nftables.TableFamily{nftables.TableFamilyIPv6}
		}
	}
	return append(v4, v6...)
}

func (s *Set) countMuteRules(family nftables.TableFamily, chain string) int {
	n := 0
	for _, a := range s.cfg.Addresses {
		if a.IP.Is4() == (family == nftables.TableFamilyARP) {
			n += len(muteRules(a.IP, chain))
		}
	}
	return n
}

func (s *Set) addMuteRules(c *nftables.Conn, t *nftables.Table) {
	hooks := map[string]*nftables.ChainHook{chainIn: nftables.ChainHookInput, chainOut: nftables.ChainHookOutput}
	if t.Family == nftables.TableFamilyARP { // it has hooks of its own: NF_ARP_IN, NF_ARP_OUT
		hooks = map[string]*nftables.ChainHook{chainIn: nftables.ChainHookRef(0), chainOut: nftables.ChainHookRef(1)}
	}
	for _, name := range []string{chainIn, chainOut} {
		chain := c.AddChain(&nftables.Chain{
			Name: name, Table: t, Type: nftables.ChainTypeFilter,
			Hooknum: hooks[name], Priority: nftables.ChainPriorityFilter,
		})
		for _, a := range s.cfg.Addresses {
			if a.IP.Is4() != (t.Family == nftables.TableFamilyARP) {
				continue
			}
			for _, exprs := range muteRules(a.IP, name) {
				c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: exprs})
			}
		}
	}
}

// muteRules returns what one address needs in one chain.
func muteRules(ip netip.Addr, chain string) [][]expr.Any {
	switch {
	case ip.Is4() && chain == chainIn: // arp daddr ip
		return [][]expr.Any{drop(match(expr.PayloadBaseNetworkHeader, 24, ip.AsSlice()))}
	case ip.Is4(): // arp saddr ip
		return [][]expr.Any{drop(match(expr.PayloadBaseNetworkHeader, 14, ip.AsSlice()))}
	case chain == chainIn: // who asks for it
		return [][]expr.Any{drop(icmpv6(ndSolicit), match(expr.PayloadBaseTransportHeader, 8, ip.AsSlice()))}
	default: // our answer, and our own question with it as the source
		return [][]expr.Any{
			drop(icmpv6(ndAdvert), match(expr.PayloadBaseTransportHeader, 8, ip.AsSlice())),
			drop(icmpv6(ndSolicit), match(expr.PayloadBaseNetworkHeader, 8, ip.AsSlice())),
		}
	}
}

func match(base expr.PayloadBase, offset uint32, value []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(value))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value},
	}
}

func icmpv6(kind byte) []expr.Any {
	return append([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protoICMPv6}},
	}, match(expr.PayloadBaseTransportHeader, 0, []byte{kind})...)
}

func drop(conditions ...[]expr.Any) []expr.Any {
	var exprs []expr.Any
	for _, c := range conditions {
		exprs = append(exprs, c...)
	}
	return append(exprs, &expr.Verdict{Kind: expr.VerdictDrop})
}
