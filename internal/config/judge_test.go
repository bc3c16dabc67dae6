package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	content, err := os.ReadFile("testdata/wrong.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, found := Parse("baton.yaml", content)
	if cfg != nil {
		t.Error("a configuration came out of it")
	}
	golden(t, "testdata/wrong.golden", found.String()+"\n")
	if strings.Contains(found.String(), "hunter2") {
		t.Error("a password was shown")
	}
}

// good is a valid file to which cases add keys.
const good = `node: db1
cluster: shop
nodes:
  - {name: db1, address: 10.77.0.11, site: a}
  - {name: db2, address: 10.77.0.12, site: b}
  - {name: w1, role: witness, address: 10.77.0.20}
server: &server
  password_file: agent.password
  replication: {password_file: repl.password}
  probe: {password_file: probe.password}
`

// Each case changes one thing in a good file: it replaces a text, or adds one.
func TestFindings(t *testing.T) {
	for name, tt := range map[string]struct {
		replace, by string
		want        []string
	}{
		"a role is misspelt": {"role: witness", "role: withness",
			[]string{`baton.yaml:6: nodes[2].role: "withness" is no role; use data or witness`}},
		"a unit is forgotten": {"", "timing: {lease: 750}",
			[]string{`baton.yaml:11: timing.lease: 750 needs a unit; write 750ms`}},
		"a unit is forgotten and both fit": {"", "timing: {drain: 20}",
			[]string{`baton.yaml:11: timing.drain: 20 needs a unit; write 20ms or 20s`}},
		"a unit is spelled out": {"", "timing: {drain: 20 seconds}",
			[]string{`baton.yaml:11: timing.drain: "20 seconds" is no duration; write 20s`}},
		"a duration is out of bounds": {"", "timing: {lease: 10m}",
			[]string{`baton.yaml:11: timing.lease: 10m is too much; write 100ms to 5m`}},
		"a speed has no time": {"", "rejoin: {rate: 50MiB}",
			[]string{`baton.yaml:11: rejoin.rate: "50MiB" is no speed; write a whole number with its unit, KiB/s, MiB/s or GiB/s, such as 50MiB/s`}},
		"a size has no unit": {"", "rejoin: {keep_log: 1000}",
			[]string{`baton.yaml:11: rejoin.keep_log: "1000" is no size; write a whole number with its unit, KiB, MiB or GiB, such as 256MiB`}},
		"a size is too big for a number": {"", "rejoin: {keep_log: 9000000000TiB}",
			[]string{`baton.yaml:11: rejoin.keep_log: "9000000000TiB" is no size; write a whole number with its unit, KiB, MiB or GiB, such as 256MiB`}},
		"a size is out of bounds": {"", "rejoin: {keep_log: 2TiB}",
			[]string{`baton.yaml:11: rejoin.keep_log: 2TiB is too much; write 0 to 1TiB`}},
		"a number is text": {"password_file: agent", "port: \"3307\"\n  password_file: agent",
			[]string{`baton.yaml:8: server.port: "3307" is text; write the number without quotes: 3307`}},
		"a number is out of bounds": {"password_file: agent", "port: 70000\n  password_file: agent",
			[]string{`baton.yaml:8: server.port: 70000 is too much; write 1 to 65535`}},
		"a key is misspelt": {"", "timing: {lese: 1s}",
			[]string{`baton.yaml:11: timing.lese: there is no such key; did you mean timing.lease?`}},
		"a key is in the wrong block": {"", "lease: 1s",
			[]string{`baton.yaml:11: lease: there is no such key; did you mean timing.lease?`}},
		"a key is like none": {"", "log: {colour: blue}",
			[]string{`baton.yaml:11: log.colour: there is no such key; remove it; log has level, format`}},
		"a key stands twice": {"", "mode: active\nmode: observe",
			[]string{`baton.yaml:12: mode: stands here for a second time, after line 11; keep one of them`}},
		"yes is no truth value": {"", "realtime: yes",
			[]string{`baton.yaml:11: realtime: "yes" is neither true nor false; write true`}},
		"a percentage is no ratio": {"", "timing: {drift: 1%}",
			[]string{`baton.yaml:11: timing.drift: "1%" is no ratio; write 0.01`}},
		"a check of Prometheus without a limit": {"", "health: {prometheus: [{name: a, url: 'http://h', query: up}]}",
			[]string{`baton.yaml:11: health.prometheus[0]: a has to have one limit; write above or below`}},
		"a check of Prometheus with two limits": {"", "health: {prometheus: [{name: a, url: 'http://h', query: up, above: '1', below: '2'}]}",
			[]string{`baton.yaml:11: health.prometheus[0]: a has to have one limit; write above or below`}},
		"a limit that is no number": {"", "health: {prometheus: [{name: a, url: 'http://h', query: up, below: much}]}",
			[]string{`baton.yaml:11: health.prometheus[0].below: "much" is no number that a limit could be; write a number other than 0, such as 0.5`}},
		"a check is called as another": {"", "health: {prometheus: [{name: cpu, url: 'http://h', query: up, above: 0.5}]}",
			[]string{`baton.yaml:11: health.prometheus[0].name: another check is called cpu; give it another name`}},
		"Prometheus is nowhere": {"", "health: {prometheus: [{name: a, url: here, query: up, above: 2}]}",
			[]string{`baton.yaml:11: health.prometheus[0].url: "here" is no address of a server; write it as http://10.0.0.9:9090`}},
		"a list is one text": {"", "sites: a b",
			[]string{`baton.yaml:11: sites: is no list; write it as a list: [a, b]`}},
		"a block is one text": {"", "timing: fast",
			[]string{`baton.yaml:11: timing: holds no keys; it is a block of keys: lease, renew, call, drift, margin, beat, hang, drain, handoff, promote_stall, ack_leave, promise_wait`}},
		"a name is given for an address": {"10.77.0.12", "db2.example.org",
			[]string{`baton.yaml:5: nodes[1].address: "db2.example.org" is no IP address; write a number such as 10.77.0.11 or "fd77::11", no name`}},
		"an address has a prefix length": {"10.77.0.12", "10.77.0.12/24",
			[]string{`baton.yaml:5: nodes[1].address: "10.77.0.12/24" has a prefix length; write the address alone: 10.77.0.12`}},

		"the node is none of the nodes": {"node: db1", "node: bd1",
			[]string{`baton.yaml:1: node: "bd1" is none of nodes:; did you mean db1?`}},
		"the node is not said": {"node: db1\n", "",
			[]string{`baton.yaml: node: is missing; write the name of the node that this file is for, one of nodes:`}},
		"the cluster has an odd name": {"cluster: shop", "cluster: Shop.1",
			[]string{`baton.yaml:2: cluster: "Shop.1" is no name for a cluster; use lower-case letters, digits and dashes, at most 32`}},
		"two voters": {"  - {name: w1, role: witness, address: 10.77.0.20}\n", "",
			[]string{`baton.yaml:3: nodes: two voters have no majority when one is lost; add a third node, which may be a witness: - {name: w1, role: witness, address: …}`}},
		"one server and two witnesses": {"{name: db2, ", "{name: db2, role: witness, ",
			[]string{`baton.yaml:3: nodes: 1 of 3 nodes have a server, so nobody can take over; give at least two of them role: data`}},
		"an even number of voters": {"server: &server", "  - {name: w2, role: witness, address: 10.77.0.21}\nserver: &server",
			[]string{`baton.yaml:3: warning: nodes: 4 voters survive no more losses than 3 would; add a witness, or leave one out`}},
		"a witness with a server": {"{name: w1, role: witness, ", "{name: w1, role: witness, server: {port: 3307}, prefer: 1, never: true, ",
			[]string{
				`baton.yaml:6: nodes[2].server: a witness has no server; remove it, or make the node role: data`,
				`baton.yaml:6: nodes[2].prefer: a witness has no server; remove it, or make the node role: data`,
				`baton.yaml:6: nodes[2].never: a witness has no server; remove it, or make the node role: data`,
			}},
		"two nodes of one name": {"name: db2", "name: db1",
			[]string{`baton.yaml:5: nodes[1].name: db1 stands on line 4 already; give every node its own name`}},
		"two nodes at one address, written differently": {"address: 10.77.0.12", "address: \"::ffff:10.77.0.11\"",
			[]string{`baton.yaml:5: nodes[1].address: 10.77.0.11 stands on line 4 already; give every node its own address`}},
		"never, everywhere": {"site: ", "never: true, site: ",
			[]string{`baton.yaml:3: nodes: every data node is marked never, so nobody may be primary; remove never: true from at least two of them`}},
		"never, on all but one": {"site: b", "site: b, never: true",
			[]string{`baton.yaml:3: warning: nodes: all data nodes but db1 are marked never, so nobody may take over from it; remove never: true from another one`}},
		"a site that is not in the order": {"", "sites: [a, bb]",
			[]string{
				`baton.yaml:5: nodes[1].site: "b" is none of sites:; add it to sites:, or use a or bb`,
				`baton.yaml:11: warning: sites[1]: no node is in site "bb"; remove it, or give a node site: bb`,
			}},

		"HTTP on a name": {"", "http: {listen: [db1:7482]}",
			[]string{`baton.yaml:11: http.listen[0]: "db1:7482" is no address with a port; write it like 10.77.0.11:7482, "[fd77::11]:7482", or 0.0.0.0:7482 for all of this host's`}},
		"HTTP on an address twice": {"", `http: {listen: ["10.77.0.11:7482", "10.77.0.11:7482"]}`,
			[]string{`baton.yaml:11: http.listen[1]: 10.77.0.11:7482 stands on line 11 already; name every address once`}},
		"HTTP on the ports of others": {"", `http: {listen: ["0.0.0.0:7480", "0.0.0.0:7481", "0.0.0.0:3306"]}`,
			[]string{
				`baton.yaml:11: http.listen[0]: the embedded store uses port 7480; choose another port, or change store.peer_port`,
				`baton.yaml:11: http.listen[1]: the link between the agents uses port 7481; choose another port, or change peer.port`,
				`baton.yaml:11: http.listen[2]: the server uses port 3306; choose another port, or change server.port`,
			}},
		"HTTP with half a certificate": {"", `http: {listen: ["0.0.0.0:7482"], tls: {cert: c}}`,
			[]string{`baton.yaml:11: http.tls: a certificate and its key belong together; give both http.tls.cert and http.tls.key, or neither`}},
		"HTTP asks for certificates and has none": {"", `http: {listen: ["0.0.0.0:7482"], tls: {ca: c}}`,
			[]string{`baton.yaml:11: http.tls.ca: clients can show a certificate only where this node has one; give http.tls.cert and http.tls.key, too`}},
		"certificates for nothing": {"", `http: {tls: {cert: c, key: k}}`,
			[]string{`baton.yaml:11: http.tls: there is nothing to encrypt; add http.listen, or remove http.tls`}},
		"an endpoint of the primary's has nodes": {"", "endpoints: [{name: app, nodes: [w1], etcd: {endpoints: ['https://10.0.0.1:2379'], key: /k}}]",
			[]string{`baton.yaml:11: endpoints[0].nodes: etcd is led by whoever is primary; remove it: no host has it for itself`}},

		"an election of less than five heartbeats": {"", "store: {heartbeat: 100ms, election: 400ms}",
			[]string{`baton.yaml:11: store.election: 400ms is less than five heartbeats of 100ms; write at least 500ms, or a shorter heartbeat`}},
		"an election that outlasts the lease": {"", "store: {election: 5s}",
			[]string{`baton.yaml:11: warning: store.election: when the store's leader is lost, its election of up to 10s can outlast the lease of 2s; write at most 625ms, or a lease of at least 10.75s`}},
		"both an embedded and an external store": {"", "store: {peer_port: 7480, endpoints: [https://10.0.0.1:2379]}",
			[]string{`baton.yaml:11: store.peer_port: is for the embedded store, and endpoints name an external one; remove it, or remove store.endpoints`}},
		"a password in an endpoint": {"", "store: {endpoints: [\"https://root:hunter2@10.0.0.1:2379\"]}",
			[]string{`baton.yaml:11: store.endpoints[0]: an endpoint with a password in it would be shown to everybody; write it without; use a client certificate, store.tls`}},
		"an external store that anybody can read": {"", "store: {endpoints: [\"http://10.0.0.1:2379\"]}",
			[]string{`baton.yaml:11: warning: store.endpoints[0]: what goes to 10.0.0.1:2379 can be read and changed on the way; use https:// and store.tls`}},
		"a certificate without its key": {"", "store: {endpoints: [https://10.0.0.1:2379], tls: {ca: a, cert: b}}",
			[]string{`baton.yaml:11: store.tls: a certificate and its key belong together; give both store.tls.cert and store.tls.key, or neither`}},
		"certificates for a store that is not external": {"", "store: {tls: {ca: a}}",
			[]string{`baton.yaml:11: store.tls.ca: is for an external store, and there are no endpoints; add store.endpoints, or use tls: for the embedded one`}},

		"renewals too seldom": {"", "timing: {renew: 700ms}",
			[]string{`baton.yaml:11: timing.renew: 700ms is more than a third of the lease of 2s: one lost renewal would end it; write at most 666ms`}},
		"calls too long": {"", "timing: {call: 600ms}",
			[]string{
				`baton.yaml: warning: store.election: when the store's leader is lost, its election of up to 1s can outlast the lease of 2s; write at most 450ms, or a lease of at least 2.1s`,
				`baton.yaml:11: timing.call: 600ms is more than a quarter of the lease of 2s: one slow call would end it; write at most 500ms`,
			}},
		"a margin that leaves nothing": {"", "timing: {margin: 1250ms}",
			[]string{`baton.yaml:11: timing.margin: 1.25s leaves nothing of the lease of 2s: the gate would close between two renewals; write less than 1.25s`}},
		"a margin that leaves little": {"", "timing: {margin: 1100ms}",
			[]string{`baton.yaml:11: warning: timing.margin: 1.1s leaves 150ms of the lease of 2s for a renewal to be late; write less, or a longer lease`}},
		"a handoff shorter than its drain": {"", "timing: {drain: 30s, handoff: 30s}",
			[]string{`baton.yaml:11: timing.handoff: 30s is over before drain, 30s, is; write more than 30s, such as 1m2s`}},
		"a replica that leaves at every hiccup": {"", "timing: {ack_leave: 1s}",
			[]string{`baton.yaml:11: timing.ack_leave: 1s is less than the lease: replicas would leave the ack set at every hiccup; write at least 2s`}},
		"a candidate that gets no time": {"", "timing: {promote_stall: 1s}",
			[]string{`baton.yaml:11: timing.promote_stall: 1s is less than the lease: a candidate would be given up before it could take it; write at least 2s`}},
		"a hang of less than two looks": {"", "timing: {hang: 400ms}",
			[]string{
				`baton.yaml:11: timing.hang: 400ms is less than two looks at a suspect, 250ms apart; write at least 500ms`,
				`baton.yaml: warning: detection.normal: a frozen server is found up to 1.3s after it froze, not within hang, 400ms; write at most 100ms`,
			}},
		"a suspect that is looked at less often": {"", "detection: {suspect: 2s}",
			[]string{
				`baton.yaml:11: detection.suspect: 2s is more than normal, 1s: a suspect is looked at more often; write at most 1s`,
				`baton.yaml: timing.hang: 3s is less than two looks at a suspect, 2s apart; write at least 4s`,
			}},
		"a probe that outlives the hang limit": {"", "detection: {timeout: {server: 4s}}",
			[]string{`baton.yaml:11: detection.timeout.server: 4s is more than timing.hang, 3s, after which the server is hung anyway; write at most 3s`}},
		"a default that follows from an odd value": {"", "timing: {lease: 100ms, renew: 20ms, call: 20ms}",
			[]string{
				`baton.yaml: warning: store.election: when the store's leader is lost, its election of up to 1s can outlast the lease of 100ms; write at most 30ms, or a lease of at least 1.04s`,
				`baton.yaml:11: warning: timing.margin: 50ms leaves 10ms of the lease of 100ms for a renewal to be late; write less, or a longer lease`,
			}},

		"more acknowledgements than MariaDB knows": {"", "durability: {acks: 2}",
			[]string{`baton.yaml:11: durability.acks: MariaDB waits for one replica, not for 2; write acks: 1`}},
		"more acknowledgements than replicas": {"password_file: agent", "flavor: mysql\n  password_file: agent",
			nil},
		"waiting for the only replica": {"", "durability: {alone: wait}",
			[]string{`baton.yaml:11: warning: durability.alone: with one replica, every commit waits while that replica is away; use continue, or add a data node`}},
		"acknowledgements nobody waits for": {"", "durability: {mode: async, acks: 1}",
			[]string{`baton.yaml:11: warning: durability.acks: has no meaning in mode async; remove it, or use mode: lossless`}},

		"a virtual address that is a node's": {"", "addresses: [{address: 10.77.0.12, interface: eth0}]",
			[]string{`baton.yaml:11: addresses[0].address: 10.77.0.12 is db2's own address; use a free address of the same network: this one moves from host to host`}},
		"a virtual address without an interface": {"", "addresses: [{address: 10.77.0.50}]",
			[]string{`baton.yaml:11: addresses[0].interface: is missing; name the interface that binds it, such as interface: eth0`}},
		"a virtual address twice": {"", "addresses: [{address: 10.77.0.50, interface: eth0}, {address: 10.77.0.50, interface: eth1}]",
			[]string{`baton.yaml:11: addresses[1].address: 10.77.0.50 stands on line 11 already; name every address once`}},
		"a virtual address on loopback": {"", "addresses: [{address: 10.77.0.50, interface: lo}]",
			[]string{"baton.yaml:11: warning: addresses[0].interface: nobody outside this host sees an address on lo unless routers are told of it; add an endpoint with a block bgp, frr or route, or announce it yourself and only while it is there"}},
		"an address on loopback that FRR announces": {"", "addresses: [{address: 10.99.0.50, interface: lo}]\nendpoints: [{name: bgp, frr: {neighbors: [10.77.0.1], route_map: SERVICE}}]", nil},
		"routes on a witness":                       {"", "addresses: [{address: 10.99.0.50, interface: lo}]\nendpoints: [{name: r, nodes: [w1], route: {ways: [{node: db1, gateway: 10.78.0.11, weight: 3}, {node: db1, gateway: 10.79.0.11, metric: 200}]}}]", nil},
		"routes that lead nowhere": {"", "addresses: [{address: 10.99.0.50, interface: lo}, {address: \"fd99::50\", interface: lo}]\nendpoints: [{name: r, nodes: [db1], route: {ways: [{node: w1, gateway: 10.78.0.11}, {node: db1, gateway: \"fd77::11\"}, {node: db1, gateway: \"fd77::11\", weight: 300}]}}]",
			[]string{
				"baton.yaml:12: endpoints[0].route.ways: there is no way to db1 for 10.99.0.50; add one: {node: db1, gateway: …}, an address of the same family",
				"baton.yaml:12: endpoints[0].route.ways: there is no way to db2 for fd99::50; add one: {node: db2, gateway: …}, an address of the same family",
				`baton.yaml:12: endpoints[0].route.ways[0].node: "w1" is no data node; name the one that it leads to`,
				"baton.yaml:12: endpoints[0].route.ways[2].weight: 300 is too much; write 1 to 256",
				"baton.yaml:12: endpoints[0].route.ways[2]: db1 via fd77::11, metric 100, stands on line 12 already; write every way once",
				"baton.yaml:12: endpoints[0].route: is for hosts that have no database; name the witnesses whose hosts get the routes, such as nodes: [w1]",
			}},
		"an address on loopback that the agent announces": {"", "addresses: [{address: 10.99.0.50, interface: lo}, {address: \"fd99::50\", interface: lo}]\nendpoints: [{name: bgp, bgp: {as: 65001, next_hops: [\"fd77::11\"], communities: [\"65001:50\", \"4200000000:1:2\"], local_pref: 200, neighbors: [{address: 10.77.0.1, as: 65000, bfd: 50ms}, {address: 10.77.0.2, as: 65001, hops: 2, ttl_security: true}]}}]", nil},
		"a BGP speaker with nothing to say, and to nobody": {"", "endpoints: [{name: bgp, bgp: {}}, {name: again, bgp: {as: 65001, neighbors: [{address: 10.77.0.1, as: 65000}]}}]",
			[]string{
				"baton.yaml:11: endpoints[0].bgp.as: is missing; give the AS number of the data nodes, such as 65001",
				"baton.yaml:11: endpoints[0].bgp.neighbors: is missing; name the routers: {address: 10.77.0.1, as: 65000}",
				"baton.yaml:11: endpoints[0].bgp: announces the addresses on lo, and there is none; add one to addresses:, such as {address: 10.99.0.50, interface: lo}",
				"baton.yaml:11: endpoints[1].bgp: a host has one BGP speaker, and endpoints[0].bgp is it; add its neighbours there",
				"baton.yaml:11: endpoints[1].bgp: announces the addresses on lo, and there is none; add one to addresses:, such as {address: 10.99.0.50, interface: lo}",
			}},
		"a BGP speaker that routers cannot understand": {"", "addresses: [{address: 10.99.0.50, interface: lo}, {address: \"fd99::50\", interface: lo}]\nendpoints: [{name: bgp, bgp: {as: 65001, router_id: \"fd77::11\", next_hops: [10.77.0.11, 10.77.0.12, here], communities: [\"65536:1\", no-export], local_pref: 200, neighbors: [{address: 10.77.0.1, as: 65000, bfd: 1ms, hold_time: 3500ms}, {address: 10.77.0.1, as: 65000, bfd: 50ms, hops: 1, local_address: \"fd77::11\"}]}}]",
			[]string{
				"baton.yaml:12: endpoints[0].bgp.router_id: fd77::11 is no router ID; write one like an IPv4 address, another one on every node",
				"baton.yaml:12: endpoints[0].bgp.next_hops[1]: 10.77.0.12 is the second of its family; write one of each family at most",
				`baton.yaml:12: endpoints[0].bgp.next_hops[2]: "here" is no address; write this host's address, such as 10.77.0.11`,
				`baton.yaml:12: endpoints[0].bgp.communities[0]: "65536:1" is no community; write it as 65001:50, or as 65001:1:2 if it is a large one`,
				`baton.yaml:12: endpoints[0].bgp.communities[1]: "no-export" is no community; write it as 65001:50, or as 65001:1:2 if it is a large one`,
				"baton.yaml:12: endpoints[0].bgp.local_pref: is told to neighbours of the same AS only, and there is none; remove it; routers of another AS go by communities and the metric",
				"baton.yaml:12: endpoints[0].bgp.neighbors[0].bfd: 1ms is shorter than any host is punctual; write 10ms or more; 50ms where the agent runs under real-time priority",
				"baton.yaml:12: endpoints[0].bgp.neighbors[0].hold_time: 3.5s are no whole seconds; write whole seconds",
				"baton.yaml:12: endpoints[0].bgp.neighbors[1].address: 10.77.0.1 stands on line 12 already; name every router once",
				"baton.yaml:12: endpoints[0].bgp.neighbors[1].bfd: BFD goes over a single hop, and hops: allows more; remove one of them",
				"baton.yaml:12: endpoints[0].bgp.neighbors[1].local_address: fd77::11 and 10.77.0.1 are of two families; use addresses of one",
				"baton.yaml:12: endpoints[0].bgp.neighbors: nobody can be told of fd99::50; add a neighbour with an address of that family, or this host's to next_hops:",
			}},
		"FRR with nothing to announce": {"", "endpoints: [{name: bgp, frr: {neighbors: [router1], vtysh: [vtysh -N shop], route_map: 'A B'}}]",
			[]string{
				"baton.yaml:11: endpoints[0].frr: announces the addresses on lo, and there is none; add one to addresses:, such as {address: 10.99.0.50, interface: lo}",
				`baton.yaml:11: endpoints[0].frr.vtysh: "vtysh -N shop" is one word with spaces in it, and no shell takes it apart; write [vtysh, -N, shop]`,
				`baton.yaml:11: endpoints[0].frr.route_map: "A B" is no name of a route-map; write it as FRR's configuration has it`,
				"baton.yaml:11: endpoints[0].frr.neighbors[0]: \"router1\" is no address of a router; write it as `show bgp summary` has it, such as 10.77.0.1",
			}},
		"loopback is tracked": {"", "detection: {track: [{interface: lo}]}",
			[]string{`baton.yaml:11: detection.track[0].interface: lo never loses its carrier; name the interface of the clients' network`}},
		"a virtual address that is none": {"", "addresses: [{address: 127.0.0.2, interface: eth0}]",
			[]string{`baton.yaml:11: addresses[0].address: 127.0.0.2 cannot lead clients to a host; use a free address of the clients' network`}},

		"virtual addresses with a link-layer address of their own": {"", "addresses: [{address: 10.77.0.50, interface: eth0, mac: auto}, {address: 10.77.0.51, interface: eth0, mac: 02:00:00:00:00:51}]", nil},
		"link-layer addresses that cannot move": {"", `addresses: [{address: 10.77.0.50, interface: eth0, mac: own}, {address: 10.77.0.51, interface: eth0, mac: "01:00:5e:00:00:01"}, {address: 10.77.0.52, interface: eth0, mac: "00:00:5e:00:01:33"},
  {address: 10.77.0.53, interface: eth0, mac: 02:00:00:00:00:51}, {address: 10.77.0.54, interface: eth0, mac: 02-00-00-00-00-51}, {address: 10.99.0.50, interface: lo, mac: auto}]`,
			[]string{`baton.yaml:11: addresses[0].mac: "own" is no link-layer address; write auto, or one like 02:00:5e:10:00:01`,
				`baton.yaml:11: addresses[1].mac: 01:00:5e:00:00:01 is a group's, not a host's; write auto, or one whose second digit is 2, 6, a or e`,
				`baton.yaml:11: addresses[2].mac: 00:00:5e:00:01:33 belongs to a maker of network cards, or to VRRP; write auto, or one whose second digit is 2, 6, a or e`,
				`baton.yaml:12: addresses[4].mac: 02:00:00:00:00:51 stands on line 12 already; give every address its own, or auto`,
				`baton.yaml:12: addresses[5].mac: there are no link-layer addresses on lo; remove it: routers lead to this address`,
				`baton.yaml:12: warning: addresses[5].interface: nobody outside this host sees an address on lo unless routers are told of it; add an endpoint with a block bgp, frr or route, or announce it yourself and only while it is there`}},

		"addresses for readers": {"", "addresses: [{address: 10.77.0.50, interface: eth0}]\nreaders: {addresses: [{address: 10.77.0.60, interface: eth0, mac: auto}, {address: \"fd77::60\", interface: eth0}], max_lag: 5s, no_replica: nobody}", nil},
		"addresses for readers that are none": {"", `addresses: [{address: 10.77.0.50, interface: eth0, mac: 02:00:00:00:00:51}]
readers: {addresses: [{address: 10.77.0.50, interface: eth0}, {address: 10.77.0.12, interface: eth0, mac: 02:00:00:00:00:51}, {address: 10.99.0.60, interface: lo}], max_lag: 1ms, no_replica: none}`,
			[]string{`baton.yaml:12: readers.addresses[0].address: 10.77.0.50 stands on line 11 already; name every address once`,
				`baton.yaml:12: readers.addresses[1].address: 10.77.0.12 is db2's own address; use a free address of the same network: this one moves from host to host`,
				`baton.yaml:12: readers.addresses[1].mac: 02:00:00:00:00:51 stands on line 11 already; give every address its own, or auto`,
				`baton.yaml:12: readers.addresses[2].interface: no endpoint announces addresses for readers to routers; name an interface of the clients' network`,
				`baton.yaml:12: readers.max_lag: 1ms is too little; write 1s to 24h`, `baton.yaml:12: readers.no_replica: "none" is no place to lead readers to; use primary or nobody`}},

		"an account without a password": {"probe: {password_file: probe.password}", "probe: {user: watcher}",
			[]string{`baton.yaml:10: server.probe.password_file: watcher connects over the network and needs a password; write it into a file that only root may read, and name that file here`}},
		"one account for everything": {"probe: {password", "probe: {user: baton, password",
			[]string{
				`baton.yaml:7: server.writer.user: baton may write on a read-only server, and the write probe must not; use another account, such as the one of probes`,
				`baton.yaml:7: warning: server.user: baton may do everything, and connects from other hosts too; use an account of its own for replication and for probes`,
			}},
		"a command with a shell in mind": {"password_file: agent", "start: [systemctl start mariadb]\n  password_file: agent",
			[]string{`baton.yaml:8: server.start: "systemctl start mariadb" is one word with spaces in it, and no shell takes it apart; write [systemctl, start, mariadb]`}},
		"the server and the store on one port": {"password_file: agent", "port: 7480\n  password_file: agent",
			[]string{`baton.yaml:8: server.port: the embedded store uses 7480 too; change it, or store.peer_port`}},
		"another flavor on one node": {"site: b", "site: b, server: {flavor: mysql}",
			[]string{`baton.yaml:5: nodes[1].server.flavor: mysql does not replicate with the mariadb of the other nodes; use one flavor in a cluster`}},
		"a misspelt key in a node's own block": {"site: b", "site: b, server: {prot: 3307}",
			[]string{`baton.yaml:5: nodes[1].server.prot: there is no such key; did you mean nodes[1].server.port?`}},
		"a path too long for a socket": {"", "run_dir: /run/" + strings.Repeat("x", 100),
			[]string{`baton.yaml:11: run_dir: /run/` + strings.Repeat("x", 100) + `/shop.sock is too long for a unix socket, by 8 bytes; choose a shorter directory`}},

		"a key without a value has its default": {"", "timing:\n  lease:\nsites:\nprofile:", nil},
		"an alias stands for what it names":     {"", "detection: &d {normal: 1s}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := good + tt.by + "\n"
			if tt.replace != "" {
				if !strings.Contains(good, tt.replace) {
					t.Fatalf("%q is not in the file", tt.replace)
				}
				text = strings.ReplaceAll(good, tt.replace, tt.by)
			}
			wantFindings(t, text, tt.want...)
		})
	}
}

// wantFindings wants exactly these of a file, in any order.
func wantFindings(t *testing.T, text string, want ...string) {
	t.Helper()
	_, found := Parse("baton.yaml", []byte(text))
	var got []string
	for _, f := range found {
		got = append(got, f.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\nin:\n%s", diff, text)
	}
}

func TestWhatIsNoConfigurationIsSaidSo(t *testing.T) {
	for name, tt := range map[string]struct{ content, want string }{
		"nothing":          {"", "baton.yaml: the file is empty; make one with `baton init`"},
		"comments alone":   {"# later\n", "baton.yaml: the file is empty; make one with `baton init`"},
		"a list":           {"- a\n", "baton.yaml:1: the file holds no keys; make one with `baton init`"},
		"a tab":            {"nodes:\n\t- x\n", "baton.yaml:2: this is no YAML: found character that cannot start any token; mend this line or the one before it; indent with spaces"},
		"two documents":    {"node: a\n---\nnode: b\n", "baton.yaml:2: a second document begins here; write one file per cluster"},
		"a very long file": {strings.Repeat("#\n", maxFile), fmt.Sprintf("baton.yaml: the file is longer than %d bytes; give the path of a baton.yaml", maxFile)},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, found := Parse("baton.yaml", []byte(tt.content))
			if cfg != nil || found.String() != tt.want {
				t.Errorf("got  %s\nwant %s", found, tt.want)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "baton.yaml")
	if _, found := Load(missing); found.String() != missing+": no such file or directory; give the file with --config, or make one with `baton init`" {
		t.Error(found)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"lease", "hang", "drain", "heartbeat"}
	for word, want := range map[string]string{"leese": "lease", "laese": "lease", "Lease": "lease", "hertbeat": "heartbeat", "hartbet": "heartbeat", "x": "", "colour": "", "": ""} {
		if got, _ := nearest(word, words); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// Whatever comes in: no panic, errors with their mend, and what is accepted is
// sound and can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add(good + "timing: {lease: 750}")
	f.Add("a: &a [*a]\n")
	f.Add("? [x]\n: y\n")
	f.Add("nodes: [[], {}, 3, {server: {port: 1}}]\naddresses: {a: b}\n<<: {}\n")
	for _, name := range []string{"two-and-witness", "fast-lan", "three-sites", "external-store", "observe"} {
		b, err := os.ReadFile("../../docs/examples/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, found := Parse("baton.yaml", []byte(text))
		for _, x := range found {
			if x.What == "" || x.Mend == "" || x.Severity == "" || x.File == "" {
				t.Errorf("not all is said: %+v", x)
			}
		}
		if (cfg == nil) != (len(found.Errors()) > 0) {
			t.Fatalf("a configuration: %v, with %s", cfg != nil, found)
		}
		if cfg == nil {
			return
		}
		if err := cfg.Limits().Validate(); err != nil {
			t.Errorf("accepted, but: %v", err)
		}
		if s := cfg.Settings(); s.Lease <= 0 || s.Renew > s.Lease/3 || s.Call > s.Lease/4 || len(s.DataNodes()) < 2 || s.Majority() < 2 {
			t.Errorf("accepted, but: %+v", s)
		}
		shown, err := cfg.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, found := Parse("baton.yaml", shown)
		if err := found.Err(); err != nil {
			t.Fatalf("%v in:\n%s", err, shown)
		}
		if changed := Diff(cfg, again); len(changed) > 0 {
			t.Errorf("%v in:\n%s", changed, shown)
		}
	})
}
