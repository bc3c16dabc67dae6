package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const rich = good + `sites: [a, b]
addresses: [{address: 10.77.0.50, interface: eth0}]
detection: {track: [{interface: eth1, gateway: 192.168.7.1}]}
`

// led has endpoints of two kinds.
const led = good + `endpoints:
  - {name: name, dns: {name: db.shop.test, zone: shop.test, servers: [10.0.0.53], key: baton, secret_file: s}}
  - {name: app, etcd: {endpoints: [https://10.0.0.1:2379], key: /shop}}
`

// change makes a value another one of its type.
func change(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *time.Duration:
		*x += time.Millisecond
	case *netip.Addr:
		*x = netip.MustParseAddr("192.0.2.99")
	case *[]string:
		*x = append([]string{"other"}, *x...)
	case *bool:
		*x = !*x
	case *int:
		*x++
	case *Bytes:
		*x++
	case *Speed:
		*x++
	case *float64:
		*x += 0.001
	default:
		v.SetString("other")
	}
}

// For every single key of the file: what must be the same everywhere changes
// the hash, what need not be does not, and a change is noticed under its name.
func TestEachKeyIsHashedAndComparedAsTheTableSays(t *testing.T) {
	seen := 0
	for i := range mustParse(t, rich).values() {
		before, after := mustParse(t, rich), mustParse(t, rich)
		x := after.values()[i]
		change(x.v)
		if strings.HasSuffix(x.path, ".name") || x.path == "addresses[0].address" {
			continue // another node, another address: see below
		}
		seen++
		if differs := before.Hash() != after.Hash(); differs != x.key.Same {
			t.Errorf("%s: the hash differs: %v, want %v", x.path, differs, x.key.Same)
		}
		want := []Change{{Key: x.named, Old: write(before.values()[i].v), New: write(x.v), Line: after.where(x.path), Reload: x.key.Reload}}
		if diff := cmp.Diff(want, Diff(before, after)); diff != "" {
			t.Errorf("%s: %s", x.path, diff)
		}
	}
	if seen < 70 {
		t.Errorf("only %d keys were tried", seen)
	}
}

func TestTheHashIgnoresOrderAndHowAValueCameAbout(t *testing.T) {
	one := mustParse(t, good+"addresses: [{address: 10.77.0.50, interface: eth0}, {address: \"fd77::50\", interface: eth0}]\n")
	two := mustParse(t, `cluster: shop
node: w1
profile: balanced
nodes:
  - {name: w1, role: witness, address: 10.77.0.20}
  - {name: db2, role: data, address: 10.77.0.12, site: b, never: false}
  - {name: db1, address: 10.77.0.11, site: a}
addresses: [{address: "fd77:0::50", interface: eth0}, {address: 10.77.0.50, interface: eth0}]
timing: {lease: 2000ms, renew: 0.5s}
log: {level: debug}
server:
  replication: {password_file: elsewhere}
  probe: {password_file: elsewhere}
`)
	if one.Hash() != two.Hash() {
		t.Errorf("they differ: %v", Diff(one, two))
	}
	three := mustParse(t, strings.Replace(good, "10.77.0.12", "10.77.0.13", 1))
	if three.Hash() == mustParse(t, good).Hash() {
		t.Error("another address of a node makes no difference")
	}
}

func TestReload(t *testing.T) {
	const restart = "it is not changed at run time: restart the agent"
	for name, tt := range map[string]struct {
		old, new       string
		taken, refused []Change
	}{
		"nothing changed but a comment": {rich, "# new\n" + rich, nil, nil},
		"what can change does": {rich, rich + "timing: {hang: 2s}\nlog: {level: debug}\n",
			[]Change{
				{Key: "timing.hang", Old: "3s", New: "2s", Line: 14, Reload: true},
				{Key: "detection.timeout.server", Old: "3s", New: "2s", Line: 13, Reload: true},
				{Key: "detection.timeout.business", Old: "3s", New: "2s", Line: 13, Reload: true},
				{Key: "log.level", Old: "info", New: "debug", Line: 15, Reload: true},
			}, nil},
		"the rest is refused by name, and what follows from it stays": {rich, rich + "timing: {lease: 4s, hang: 2s}\ndata_dir: /data\n",
			[]Change{
				{Key: "timing.hang", Old: "3s", New: "2s", Line: 14, Reload: true},
				{Key: "detection.timeout.server", Old: "3s", New: "2s", Line: 13, Reload: true},
				{Key: "detection.timeout.business", Old: "3s", New: "2s", Line: 13, Reload: true},
			},
			[]Change{
				{Key: "data_dir", Old: "/var/lib/baton", New: "/data", Line: 15, Why: restart},
				{Key: "timing.lease", Old: "2s", New: "4s", Line: 14, Why: restart},
				{Key: "timing.renew", Old: "500ms", New: "1s", Line: 14, Why: restart},
				{Key: "timing.call", Old: "250ms", New: "500ms", Line: 14, Why: restart},
			}},
		"a node's preference changes, wherever it stands": {rich,
			strings.Replace(rich, "  - {name: db1, address: 10.77.0.11, site: a}\n  - {name: db2, address: 10.77.0.12, site: b}\n",
				"  - {name: db2, address: 10.77.0.12, site: b, prefer: 5}\n  - {name: db1, address: 10.77.0.11, site: a}\n", 1),
			[]Change{{Key: "nodes[db2].prefer", Old: "0", New: "5", Line: 4, Reload: true}}, nil},
		"a new node is refused, and a new site of an old one taken": {rich,
			strings.Replace(strings.Replace(rich, "site: b", "site: a", 1), "server: &server", "  - {name: w2, role: witness, address: 10.77.0.21}\nserver: &server", 1),
			[]Change{{Key: "nodes[db2].site", Old: "b", New: "a", Line: 5, Reload: true}},
			[]Change{
				{Key: "nodes[w2].name", New: "w2", Line: 7, Why: restart},
				{Key: "nodes[w2].role", New: "witness", Line: 7, Why: restart},
				{Key: "nodes[w2].address", New: "10.77.0.21", Line: 7, Why: restart},
				{Key: "nodes[w2].prefer", New: "0", Line: 7, Why: restart},
				{Key: "nodes[w2].never", New: "false", Line: 7, Why: restart},
			}},
		"endpoints are not in the way": {led, led + "log: {level: debug}\n",
			[]Change{{Key: "log.level", Old: "info", New: "debug", Line: 14, Reload: true}}, nil},
		"an endpoint that changes is refused": {led, strings.Replace(led, "key: /shop", "key: /crm", 1) + "log: {level: debug}\n",
			[]Change{{Key: "log.level", Old: "info", New: "debug", Line: 14, Reload: true}},
			[]Change{{Key: "endpoints[1].etcd.key", Old: "/shop", New: "/crm", Line: 13, Why: restart}}},
		"an endpoint that is gone is refused": {led, strings.Replace(led, "  - {name: app, etcd: {endpoints: [https://10.0.0.1:2379], key: /shop}}\n", "", 1) + "log: {level: debug}\n",
			[]Change{{Key: "log.level", Old: "info", New: "debug", Line: 13, Reload: true}},
			[]Change{
				{Key: "endpoints[1].name", Old: "app", Why: restart},
				{Key: "endpoints[1].timeout", Old: "2s", Why: restart},
				{Key: "endpoints[1].check", Old: "10s", Why: restart},
				{Key: "endpoints[1].etcd.endpoints", Old: "[https://10.0.0.1:2379]", Why: restart},
				{Key: "endpoints[1].etcd.key", Old: "/shop", Why: restart},
			}},
		"an address that is gone is refused": {rich, strings.Replace(rich, "addresses:", "# addresses:", 1), nil,
			[]Change{
				{Key: "addresses[10.77.0.50].address", Old: "10.77.0.50", Why: restart},
				{Key: "addresses[10.77.0.50].interface", Old: "eth0", Why: restart},
			}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := mustParse(t, tt.old), mustParse(t, tt.new)
			oldText, newText := before.String(), after.String()
			next, taken, refused := Reload(before, after)
			if diff := cmp.Diff(tt.taken, taken); diff != "" {
				t.Errorf("taken: %s", diff)
			}
			if diff := cmp.Diff(tt.refused, refused); diff != "" {
				t.Errorf("refused: %s", diff)
			}
			if before.String() != oldText || after.String() != newText {
				t.Error("a configuration that was given was changed")
			}
			if again, found := Parse("baton.yaml", []byte(next.String())); again == nil {
				t.Errorf("what is in force now would be refused: %s", found)
			}
		})
	}
}

// What an endpoint is is still known after a reload, and after another one.
func TestAnEndpointStaysWhatItIs(t *testing.T) {
	next := mustParse(t, led)
	for _, level := range []string{"debug", "warn"} {
		var taken []Change
		next, taken, _ = Reload(next, mustParse(t, led+"log: {level: "+level+"}\n"))
		if len(taken) != 1 || next.KindOf(0) != "dns" || next.KindOf(1) != "etcd" {
			t.Errorf("taken %v; the endpoints are %q and %q", taken, next.KindOf(0), next.KindOf(1))
		}
	}
}

// Keys of other kinds, with defaults of their own, are no part of an endpoint.
func TestAnEndpointIsShownAsWhatItIs(t *testing.T) {
	c := mustParse(t, led)
	for _, row := range c.Rows() {
		if strings.Contains(row.Key, ".webhook.") || strings.HasPrefix(row.Key, "endpoints[1].dns") {
			t.Errorf("it shows %s = %s", row.Key, row.Value)
		}
	}
	if text := c.String(); strings.Contains(text, "webhook") || strings.Count(text, "switch_ttl") != 1 {
		t.Errorf("it shows\n%s", text)
	}
}

func TestReloadTakesNothingThatIsImpossibleWithWhatStays(t *testing.T) {
	// Alone each file is right; the new ack_leave with the old lease is not.
	before := mustParse(t, good+"timing: {lease: 4s}\n")
	after := mustParse(t, good+"timing: {lease: 1s, ack_leave: 2s}\nstore: {heartbeat: 50ms, election: 250ms}\n")
	next, taken, refused := Reload(before, after)
	if next != before || len(taken) > 0 || len(refused) != len(Diff(before, after)) {
		t.Fatalf("taken %v, refused %v", taken, refused)
	}
	const why = "together with what cannot change at run time it is impossible: baton.yaml:11: timing.ack_leave: 2s is less than the lease: replicas would leave the ack set at every hiccup; write at least 4s"
	if refused[0].Why != why {
		t.Errorf("got  %s\nwant %s", refused[0].Why, why)
	}
}

func TestReloadRefusesAnotherProfileWhole(t *testing.T) {
	before, after := mustParse(t, good), mustParse(t, good+"profile: fast\n")
	next, taken, refused := Reload(before, after)
	if next != before || len(taken) > 0 || len(refused) < 10 || refused[0].Key != "profile" {
		t.Errorf("taken %v, refused %v", taken, refused)
	}
}
