package config

import (
	"slices"
	"testing"
)

// Each case is a block in a good file, on line 11.
func TestWhatIsWrongWithAZoneOfItsOwn(t *testing.T) {
	const here = "baton.yaml:11: dns."
	for name, tt := range map[string]struct {
		block string
		want  []string
	}{
		"the least":    {"dns: {zone: shop.test}", nil},
		"everything":   {"dns: {zone: shop.test, listen: ['10.77.0.11:53', '[fd77::11]:53'], primary: rw, replicas: ro, max_lag: 5s, no_replica: nobody, ttl: 0s, stale: 10s, name_servers: [ns1.example.org.], secondaries: [10.0.0.53, '10.0.0.54:5353']}", nil},
		"without zone": {"dns: {listen: ['10.77.0.11:53']}", []string{here + "listen: there is no zone to answer for; add dns.zone, or remove it"}},
		"no such names": {"dns: {zone: 'shop test', primary: a.b, replicas: _ro, name_servers: ['*']}", []string{
			here + `zone: "shop test" is no name in DNS; write it as shop.db.example.org`,
			here + `primary: "a.b" is no name in the zone; write one word, such as db`,
			here + `replicas: "_ro" is no name in the zone; write one word, such as db`,
			here + `name_servers[0]: "*" is no name in DNS; write it as ns1.example.org`,
		}},
		"names that are taken": {"dns: {zone: shop.test, primary: db1, replicas: DB1}", []string{
			here + "primary: db1 is a node, and has that name in the zone; use another one",
			here + "replicas: DB1 is a node, and has that name in the zone; use another one",
			here + "replicas: DB1 is the primary's name; use another one",
		}},
		"odd addresses": {"dns: {zone: shop.test, listen: [db1, '10.77.0.11:0', '10.77.0.11:7480', '10.77.0.11:53', '10.77.0.11:53'], secondaries: [ns]}", []string{
			here + `listen[0]: "db1" is no address with a port; write it like 10.77.0.11:53, "[fd77::11]:53", or 0.0.0.0:53 for all of this host's`,
			here + `listen[1]: "10.77.0.11:0" is no address with a port; write it like 10.77.0.11:53, "[fd77::11]:53", or 0.0.0.0:53 for all of this host's`,
			here + "listen[2]: the embedded store uses port 7480; choose another port, or change store.peer_port",
			here + "listen[4]: 10.77.0.11:53 stands on line 11 already; name every address once",
			here + `secondaries[0]: "ns" is no address of a server; write it as 10.0.0.53 or 10.0.0.53:5353; a name would have to be looked up first`,
		}},
		"half a second": {"dns: {zone: shop.test, ttl: 500ms}", []string{here + "ttl: 500ms is no whole number of seconds, as DNS has them; write 1s"}},
		"the place of HTTP": {"dns: {zone: shop.test, listen: ['10.77.0.11:7482']}\nhttp: {listen: ['10.77.0.11:7482']}", []string{
			here + "listen[0]: 10.77.0.11:7482 stands on line 12 already; name every address once"}},
	} {
		t.Run(name, func(t *testing.T) { wantFindings(t, good+tt.block+"\n", tt.want...) })
	}
}

func TestWhereANodeAnswersDNS(t *testing.T) {
	for block, want := range map[string][]string{
		"":                       nil,
		"dns: {zone: shop.test}": {"10.77.0.11:53"},
		"dns: {zone: shop.test, listen: ['0.0.0.0:5353']}": {"0.0.0.0:5353"},
	} {
		c, found := Parse("baton.yaml", []byte(good+block+"\n"))
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		if got := c.DNSListen(); !slices.Equal(got, want) {
			t.Errorf("%q: on %v, want %v", block, got, want)
		}
	}
}
