package config

import "testing"

// Each case is one endpoint in a good file, on line 12.
func TestWhatIsWrongWithANameInDNS(t *testing.T) {
	const here = "baton.yaml:12: endpoints[0]."
	for name, tt := range map[string]struct {
		block string
		want  []string
	}{
		"a whole one":         {"dns: {name: db.shop.test, zone: shop.test, servers: [10.0.0.53, '10.0.0.54:5353', 'fd77::53', '[fd77::54]:5353'], key: baton, secret_file: s, resolvers: [10.0.0.2]}", nil},
		"the zone's own name": {"dns: {name: Shop.test., zone: shop.test, servers: [10.0.0.53], key: baton.shop.test, algorithm: hmac-sha512, secret_file: s, ttl: 1s, switch_ttl: 0s}", nil},
		"without anything": {"dns: {ttl: 5s}", []string{
			here + "dns.name: is missing; write it, such as db.shop.example.org",
			here + "dns.zone: is missing; write it, such as shop.example.org",
			here + "dns.servers: is missing; write the addresses of the zone's primary servers, such as [10.0.0.53]",
			here + "dns.key: is missing; write it, such as baton",
			here + "dns.secret_file: is missing; write the key's secret into a file that only root may read, and name that file here",
		}},
		"odd parts": {"dns: {name: '*.shop.test', zone: shop..test, servers: [ns1.shop.test, '10.0.0.53:0'], key: 'a key', algorithm: hmac-md5, secret_file: s, ttl: 1500ms, switch_ttl: 2s, resolvers: [dns]}", []string{
			here + `dns.name: "*.shop.test" is no name in DNS; write it as db.shop.example.org`,
			here + `dns.zone: "shop..test" is no name in DNS; write it as shop.example.org`,
			here + `dns.servers[0]: "ns1.shop.test" is no address of a server; write it as 10.0.0.53 or 10.0.0.53:5353; a name would have to be looked up first`,
			here + `dns.servers[1]: "10.0.0.53:0" is no address of a server; write it as 10.0.0.53 or 10.0.0.53:5353; a name would have to be looked up first`,
			here + `dns.resolvers[0]: "dns" is no address of a server; write it as 10.0.0.53 or 10.0.0.53:5353; a name would have to be looked up first`,
			here + `dns.key: "a key" is no name in DNS; write it as baton`,
			here + `dns.algorithm: "hmac-md5" is no algorithm of TSIG; use hmac-sha256, hmac-sha512, hmac-sha384, hmac-sha224 or hmac-sha1`,
			here + "dns.ttl: 1.5s is no whole number of seconds, as DNS has them; write 2s",
			here + "dns.switch_ttl: 2s is longer than ttl, 1.5s; write at most that",
		}},
		"another zone": {"dns: {name: db.workshop.test, zone: shop.test, servers: [10.0.0.53], key: baton, secret_file: s}", []string{
			here + "dns.name: db.workshop.test is not in the zone shop.test; write the whole name, such as db.shop.test",
		}},
		"a long time to live": {"dns: {name: db.shop.test, zone: shop.test, servers: [10.0.0.53], key: baton, secret_file: s, ttl: 1h}", []string{
			"baton.yaml:12: warning: endpoints[0].dns.ttl: for 1h after a failover, resolvers lead clients to the old primary; write 10s",
		}},
		"nodes that lead it": {"nodes: [db1], dns: {name: db.shop.test, zone: shop.test, servers: [10.0.0.53], key: baton, secret_file: s}", []string{
			here + "nodes: dns is led by whoever is primary; remove it: no host has it for itself",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wantFindings(t, good+"endpoints:\n  - {name: app, "+tt.block+"}\n", tt.want...)
		})
	}
}
