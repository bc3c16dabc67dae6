package dnsname_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/dnsname"
)

var (
	db1, db2 = netip.MustParseAddr("10.77.0.11"), netip.MustParseAddr("10.77.0.12")
	other    = netip.MustParseAddr("192.0.2.1")
)

func name() dnsname.Name {
	return dnsname.Name{Name: "db.example.org", Cluster: "shop", NodeOf: func(a netip.Addr) (cluster.NodeName, bool) {
		n, ok := map[netip.Addr]cluster.NodeName{db1: "db1", db2: "db2"}[a]
		return n, ok
	}}
}

func TestWhereANameLeads(t *testing.T) {
	one := func(a netip.Addr, texts ...string) dnsname.Held {
		return dnsname.Held{Addresses: []netip.Addr{a}, Texts: texts}
	}
	const reign = "cluster=shop epoch=7 node=db1"
	for why, tt := range map[string]struct {
		held  dnsname.Held
		node  cluster.NodeName
		epoch cluster.Epoch
		says  string // the error; empty: none
	}{
		"it is as Baton sets it":            {one(db1, reign), "db1", 7, ""},
		"it is not there":                   {dnsname.Held{}, "", 0, ""},
		"somebody has changed the address":  {one(db2, reign), "db2", 0, ""},
		"the address is nobody's":           {one(other, reign), "", 0, "db.example.org has 192.0.2.1, which is no node's address"},
		"nobody says who set it":            {one(db1), "db1", 0, "_baton.db.example.org does not say that Baton has set it"},
		"something else is written beside":  {one(db1, "v=spf1 -all"), "db1", 0, `_baton.db.example.org holds "v=spf1 -all", which is not of Baton's making`},
		"two things are written beside":     {one(db1, reign, reign), "db1", 0, "holds 2 texts"},
		"it is another cluster's":           {one(db1, "cluster=crm epoch=9 node=db1"), "db1", 0, "is of cluster crm, not shop"},
		"it has two addresses":              {dnsname.Held{Addresses: []netip.Addr{db1, db2}, Texts: []string{reign}}, "", 0, "has several addresses"},
		"only what is beside it is there":   {dnsname.Held{Texts: []string{reign}}, "", 0, "has no address, although _baton.db.example.org says that it was set"},
		"it is an alias":                    {dnsname.Held{Alias: "x.example.org."}, "", 0, "is an alias for x.example.org"},
		"something in front of it takes it": {dnsname.Held{Addresses: []netip.Addr{db1}, Odd: "is proxied", Texts: []string{reign}}, "", 0, "db.example.org is proxied"},
	} {
		t.Run(why, func(t *testing.T) {
			got, err := name().Target(tt.held)
			if got.Node != tt.node || got.Epoch != tt.epoch {
				t.Errorf("it leads to %s by epoch %d", got, got.Epoch)
			}
			if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

func TestOnlyWhatIsWantedIsEnough(t *testing.T) {
	to := endpoint.Target{Epoch: 7, Node: "db1", Addresses: []netip.Addr{db1}}
	want, err := dnsname.Want("db.example.org", "shop", to, 5)
	if err != nil {
		t.Fatal(err)
	}
	held := dnsname.Held{Addresses: []netip.Addr{db1}, TTL: 60, Texts: []string{want.Reign.String()}}
	if !held.Is(want) {
		t.Error("it is not enough although only the time to live differs")
	}
	for why, change := range map[string]func(*dnsname.Held){
		"another address": func(h *dnsname.Held) { h.Addresses = []netip.Addr{db2} },
		"one more":        func(h *dnsname.Held) { h.Addresses = append(h.Addresses, db2) },
		"an alias":        func(h *dnsname.Held) { h.Alias = "x." },
		"a proxy":         func(h *dnsname.Held) { h.Odd = "is proxied" },
		"another reign":   func(h *dnsname.Held) { h.Texts = []string{"cluster=shop epoch=6 node=db1"} },
		"no reign":        func(h *dnsname.Held) { h.Texts = nil },
	} {
		h := held
		h.Addresses = append([]netip.Addr{}, held.Addresses...)
		if change(&h); h.Is(want) {
			t.Errorf("%s is enough", why)
		}
	}
	if _, err := dnsname.Want("db.example.org", "shop", endpoint.Target{Node: "db1"}, 5); err == nil {
		t.Error("a node without an address is wanted")
	}
}

func TestANewReignHasAShortTimeToLiveForAWhile(t *testing.T) {
	l := dnsname.Lifetimes{Usual: time.Minute, Switch: 5 * time.Second, SwitchFor: 10 * time.Minute}
	start := cluster.Instant(time.Hour)
	for _, step := range []struct {
		after time.Duration
		reign cluster.Epoch
		want  uint32
	}{
		{0, 7, 5}, {9 * time.Minute, 7, 5}, {10 * time.Minute, 7, 60}, {11 * time.Minute, 8, 5}, {20 * time.Minute, 8, 5}, {22 * time.Minute, 8, 60}, {22 * time.Minute, 7, 60},
	} {
		if got := l.Of(step.reign, start.Add(step.after)); got != step.want {
			t.Errorf("epoch %d, %s after the start: %d s, want %d", step.reign, step.after, got, step.want)
		}
	}
}
