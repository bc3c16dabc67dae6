package fence

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// tableInfo is what the kernel says of one table of family inet.
type tableInfo struct {
	present bool
	flags   uint32
	owner   uint32 // netlink port of the living socket that owns it, 0 if none does
}

// dumpNft hands the attributes of each answer to f. Only family inet is read.
func dumpNft(ctx context.Context, c *nlConn, kind int, ask func(*netlink.AttributeEncoder), f func(*netlink.AttributeDecoder) error) error {
	req, err := nftMessage(kind, 0, ask)
	if err != nil {
		return err
	}
	const genmsg = 4 // struct nfgenmsg
	return c.dump(ctx, req, func(body []byte) error {
		if len(body) < genmsg || body[0] != unix.NFPROTO_INET {
			return nil
		}
		ad, err := netlink.NewAttributeDecoder(body[genmsg:])
		if err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		ad.ByteOrder = binary.BigEndian
		if err := f(ad); err != nil {
			return err
		}
		return ad.Err()
	})
}

func findTable(ctx context.Context, c *nlConn, name string) (tableInfo, error) {
	var found tableInfo
	err := dumpNft(ctx, c, unix.NFT_MSG_GETTABLE, func(*netlink.AttributeEncoder) {}, func(ad *netlink.AttributeDecoder) error {
		var got string
		info := tableInfo{present: true}
		for ad.Next() {
			switch ad.Type() {
			case unix.NFTA_TABLE_NAME:
				got = ad.String()
			case unix.NFTA_TABLE_FLAGS:
				info.flags = ad.Uint32()
			case nftaTableOwner:
				info.owner = ad.Uint32()
			}
		}
		if got == name {
			found = info
		}
		return nil
	})
	return found, err
}

func dumpChains(ctx context.Context, c *nlConn, table string) ([]chain, error) {
	var chains []chain
	ask := func(ae *netlink.AttributeEncoder) { ae.String(unix.NFTA_CHAIN_TABLE, table) }
	err := dumpNft(ctx, c, unix.NFT_MSG_GETCHAIN, ask, func(ad *netlink.AttributeDecoder) error {
		var got chain
		var of string
		for ad.Next() {
			switch ad.Type() {
			case unix.NFTA_CHAIN_TABLE:
				of = ad.String()
			case unix.NFTA_CHAIN_NAME:
				got.name = ad.String()
			case unix.NFTA_CHAIN_HOOK:
				got.base = true
				ad.Nested(func(ad *netlink.AttributeDecoder) error {
					for ad.Next() {
						switch ad.Type() {
						case unix.NFTA_HOOK_HOOKNUM:
							got.hook = ad.Uint32()
						case unix.NFTA_HOOK_PRIORITY:
							got.priority = int32(ad.Uint32())
						}
					}
					return nil
				})
			}
		}
		if of == table { // the kernel does not filter chains
			chains = append(chains, got)
		}
		return nil
	})
	return chains, err
}

// seenRule is a rule as the kernel holds it.
type seenRule struct {
	chain, comment string
	names          string // of its expressions, in order
	cmp            []byte // what its last comparison compares with
}

func dumpRules(ctx context.Context, c *nlConn, table string) ([]seenRule, error) {
	var rules []seenRule
	ask := func(ae *netlink.AttributeEncoder) { ae.String(unix.NFTA_RULE_TABLE, table) }
	err := dumpNft(ctx, c, unix.NFT_MSG_GETRULE, ask, func(ad *netlink.AttributeDecoder) error {
		var got seenRule
		var of string
		for ad.Next() {
			switch ad.Type() {
			case unix.NFTA_RULE_TABLE:
				of = ad.String()
			case unix.NFTA_RULE_CHAIN:
				got.chain = ad.String()
			case unix.NFTA_RULE_USERDATA:
				got.comment, _ = userdata.GetString(ad.Bytes(), userdata.TypeComment)
			case unix.NFTA_RULE_EXPRESSIONS:
				ad.Nested(got.decodeExprs)
			}
		}
		if of == table {
			rules = append(rules, got)
		}
		return nil
	})
	return rules, err
}

func (r *seenRule) decodeExprs(list *netlink.AttributeDecoder) error {
	var names []string
	for list.Next() {
		list.Nested(func(ad *netlink.AttributeDecoder) error {
			for ad.Next() {
				switch ad.Type() {
				case unix.NFTA_EXPR_NAME:
					names = append(names, ad.String())
				case unix.NFTA_EXPR_DATA:
					if names[len(names)-1] != "cmp" {
						continue
					}
					var cmp expr.Cmp
					if err := expr.Unmarshal(unix.NFPROTO_INET, ad.Bytes(), &cmp); err != nil {
						return err
					}
					r.cmp = cmp.Data
				}
			}
			return nil
		})
	}
	r.names = strings.Join(names, " ")
	return nil
}

// exprNames names the expressions of a rule as the kernel does.
func exprNames(exprs []expr.Any) string {
	names := make([]string, len(exprs))
	for i, e := range exprs {
		switch e.(type) {
		case *expr.Verdict:
			names[i] = "immediate"
		default:
			names[i] = strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", e), "*expr."))
		}
	}
	return strings.Join(names, " ")
}

// seenElement is one element of a set; expires is what is left of its timeout.
type seenElement struct {
	key     []byte
	timeout time.Duration
	expires time.Duration
}

func dumpElements(ctx context.Context, c *nlConn, table, setName string) ([]seenElement, error) {
	var elems []seenElement
	ask := func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, table)
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, setName)
	}
	err := dumpNft(ctx, c, unix.NFT_MSG_GETSETELEM, ask, func(ad *netlink.AttributeDecoder) error {
		for ad.Next() {
			if ad.Type() != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			ad.Nested(func(list *netlink.AttributeDecoder) error {
				for list.Next() {
					var e seenElement
					list.Nested(e.decode)
					elems = append(elems, e)
				}
				return nil
			})
		}
		return nil
	})
	return elems, err
}

func (e *seenElement) decode(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					if ad.Type() == unix.NFTA_DATA_VALUE {
						e.key = ad.Bytes()
					}
				}
				return nil
			})
		case unix.NFTA_SET_ELEM_TIMEOUT:
			e.timeout = time.Duration(ad.Uint64()) * time.Millisecond
		case unix.NFTA_SET_ELEM_EXPIRATION:
			e.expires = time.Duration(ad.Uint64()) * time.Millisecond
		}
	}
	return nil
}
