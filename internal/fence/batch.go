package fence

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Constants of linux/netfilter/nf_tables.h that x/sys does not have.
const (
	nftTableOwner   = 0x2 // NFT_TABLE_F_OWNER, Linux 5.12: only the socket that made the table changes it
	nftTablePersist = 0x4 // NFT_TABLE_F_PERSIST, Linux 6.9: the table stays when its owner is gone
	nftaTableUdata  = 6   // NFTA_TABLE_USERDATA
	nftaTableOwner  = 7   // NFTA_TABLE_OWNER
	nftSetConcat    = 0x80
	nftMetaTimeNS   = 30 // NFT_META_TIME_NS, Linux 5.4
	nfAccept        = 1  // NF_ACCEPT, of linux/netfilter.h
)

// batch is one nftables transaction: all of it happens, at one instant for
// every packet, or nothing.
type batch struct {
	table string
	msgs  []netlink.Message
	err   error
}

func newBatch(table string) *batch {
	return &batch{table: table, msgs: []netlink.Message{batchMark(unix.NFNL_MSG_BATCH_BEGIN)}}
}

func batchMark(kind netlink.HeaderType) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request},
		// struct nfgenmsg: family, version, big-endian resource id.
		Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
	}
}

// commit sends the transaction and waits until it is in force.
func (b *batch) commit(ctx context.Context, c *nlConn) error {
	if b.err != nil {
		return fmt.Errorf("encode nftables batch: %w", b.err)
	}
	last := len(b.msgs) - 1
	return c.transact(ctx, append(b.msgs, batchMark(unix.NFNL_MSG_BATCH_END)), last)
}

// nftMessage encodes one message about a table of family inet.
func nftMessage(kind int, flags netlink.HeaderFlags, attrs func(*netlink.AttributeEncoder)) (netlink.Message, error) {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	attrs(ae)
	data, err := ae.Encode()
	return netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind),
			Flags: netlink.Request | flags,
		},
		Data: append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, data...),
	}, err
}

func (b *batch) add(kind int, flags netlink.HeaderFlags, attrs func(*netlink.AttributeEncoder)) {
	m, err := nftMessage(kind, flags, attrs)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.msgs = append(b.msgs, m)
}

func (b *batch) addTable(flags uint32, comment string) {
	b.add(unix.NFT_MSG_NEWTABLE, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_TABLE_NAME, b.table)
		ae.Uint32(unix.NFTA_TABLE_FLAGS, flags)
		ae.Bytes(nftaTableUdata, userdata.AppendString(nil, userdata.TypeComment, comment))
	})
}

func (b *batch) deleteTable() {
	b.add(unix.NFT_MSG_DELTABLE, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_TABLE_NAME, b.table)
	})
}

func (b *batch) addChain(c chain) {
	b.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, b.table)
		ae.String(unix.NFTA_CHAIN_NAME, c.name)
		if !c.base {
			return
		}
		ae.Nested(unix.NFTA_CHAIN_HOOK, func(ae *netlink.AttributeEncoder) error {
			ae.Uint32(unix.NFTA_HOOK_HOOKNUM, c.hook)
			ae.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(c.priority))
			return nil
		})
		ae.Uint32(unix.NFTA_CHAIN_POLICY, nfAccept)
		ae.String(unix.NFTA_CHAIN_TYPE, "filter")
	})
}

func (b *batch) addSet(s set, id uint32) {
	b.add(unix.NFT_MSG_NEWSET, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_TABLE, b.table)
		ae.String(unix.NFTA_SET_NAME, s.name)
		ae.Uint32(unix.NFTA_SET_FLAGS, s.flags)
		ae.Uint32(unix.NFTA_SET_KEY_TYPE, s.key.GetNFTMagic())
		ae.Uint32(unix.NFTA_SET_KEY_LEN, s.key.Bytes)
		ae.Uint32(unix.NFTA_SET_ID, id)
		if s.flags&nftSetConcat != 0 {
			// nft prints the set wrongly without the lengths of the parts.
			ae.Nested(unix.NFTA_SET_DESC, func(ae *netlink.AttributeEncoder) error {
				ae.Nested(nftables.NFTA_SET_DESC_CONCAT, concatLengths(s.key))
				return nil
			})
		}
	})
}

func concatLengths(key nftables.SetDatatype) func(*netlink.AttributeEncoder) error {
	return func(ae *netlink.AttributeEncoder) error {
		for _, part := range nftables.ConcatSetTypeElements(key) {
			ae.Nested(unix.NFTA_LIST_ELEM, func(ae *netlink.AttributeEncoder) error {
				ae.Uint32(1 /* NFTA_SET_FIELD_LEN */, part.Bytes)
				return nil
			})
		}
		return nil
	}
}

// element is one key of a set; a zero timeout means that it stays.
type element struct {
	key     []byte
	timeout time.Duration
}

func (b *batch) addElements(setName string, elems []element) {
	if len(elems) > 0 {
		b.elements(unix.NFT_MSG_NEWSETELEM, netlink.Create, setName, elems)
	}
}

func (b *batch) elements(kind int, flags netlink.HeaderFlags, setName string, elems []element) {
	b.add(kind, flags, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, b.table)
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, setName)
		ae.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(ae *netlink.AttributeEncoder) error {
			for _, e := range elems {
				ae.Nested(unix.NFTA_LIST_ELEM, e.encode)
			}
			return nil
		})
	})
}

func (e element) encode(ae *netlink.AttributeEncoder) error {
	ae.Nested(unix.NFTA_SET_ELEM_KEY, func(ae *netlink.AttributeEncoder) error {
		ae.Bytes(unix.NFTA_DATA_VALUE, e.key)
		return nil
	})
	if e.timeout > 0 {
		ae.Uint64(unix.NFTA_SET_ELEM_TIMEOUT, uint64(e.timeout.Milliseconds()))
	}
	return nil
}

// flushSet deletes all elements. It is no error if there are none.
func (b *batch) flushSet(setName string) {
	b.add(unix.NFT_MSG_DELSETELEM, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, b.table)
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, setName)
	})
}

// flushRules deletes the rules of one chain, or of all chains if it is "".
func (b *batch) flushRules(chainName string) {
	b.add(unix.NFT_MSG_DELRULE, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_RULE_TABLE, b.table)
		if chainName != "" {
			ae.String(unix.NFTA_RULE_CHAIN, chainName)
		}
	})
}

func (b *batch) addRule(r rule) {
	b.add(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_RULE_TABLE, b.table)
		ae.String(unix.NFTA_RULE_CHAIN, r.chain)
		ae.Nested(unix.NFTA_RULE_EXPRESSIONS, func(ae *netlink.AttributeEncoder) error {
			for _, e := range r.exprs {
				data, err := expr.Marshal(unix.NFPROTO_INET, e)
				if err != nil {
					return err
				}
				ae.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, data)
			}
			return nil
		})
		ae.Bytes(unix.NFTA_RULE_USERDATA, userdata.AppendString(nil, userdata.TypeComment, r.comment))
	})
}
