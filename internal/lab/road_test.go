package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/baton-db/baton/internal/config"
)

func TestWhatRoadsNeedOfALab(t *testing.T) {
	for name, tt := range map[string]struct {
		ask             Options
		roads           string
		witness, routed bool
		servers         int
		refused         string
	}{
		"none asked for":                       {servers: 3},
		"a name needs nothing":                 {ask: Options{Roads: []string{"dns"}}, roads: "dns", servers: 3},
		"nginx is on the witness's host":       {ask: Options{Roads: []string{"nginx", "dns", "nginx"}}, roads: "nginx dns", witness: true, servers: 2},
		"BGP needs a router":                   {ask: Options{Roads: []string{"frr"}}, roads: "frr", routed: true, servers: 3},
		"all of them but those by name only":   {ask: Options{Roads: []string{"all"}}, roads: "dns zone haproxy checks nginx zookeeper webhook template frr route keepalived", witness: true, routed: true, servers: 2},
		"one that there is not":                {ask: Options{Roads: []string{"dns", "hapoxy"}}, refused: "no road is called \"hapoxy\"; there are dns, "},
		"MySQL Router has to be asked for":     {ask: Options{Roads: []string{"mysqlrouter"}}, roads: "mysqlrouter", witness: true, servers: 2},
		"two that speak BFD on the same host":  {ask: Options{Roads: []string{"frr", "bgp"}}, refused: "a lab has the road bgp or frr, not both"},
		"nobody would lead them":               {ask: Options{Roads: []string{"dns"}, Manager: ByKeepalived}, refused: "nobody but baton leads roads"},
		"the clients are in another network":   {ask: Options{Roads: []string{"dns"}, ClientNet: true}, refused: "roads do not go with"},
		"a lab that was saved with its roads":  {ask: Options{Roads: []string{"frr"}, Routed: true, Servers: 3}, roads: "frr", routed: true, servers: 3},
		"three servers and a witness are fine": {ask: Options{Roads: []string{"nginx"}, Servers: 3}, roads: "nginx", witness: true, servers: 3},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.ask.withDefaults()
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("it said %v, want %q", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(got.Roads, " ") != tt.roads || got.Witness != tt.witness || got.Routed != tt.routed || got.Servers != tt.servers {
				t.Errorf("roads %v, witness %t, routed %t, %d servers", got.Roads, got.Witness, got.Routed, got.Servers)
			}
		})
	}
}

// TestAgentsTakeTheConfigurationOfEveryRoad: one by one, and all at once, with addresses
// for readers and link-layer addresses that move.
func TestAgentsTakeTheConfigurationOfEveryRoad(t *testing.T) {
	for _, name := range append(RoadNames(), EveryRoad) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			// A lab's own directory has to be short; this one is never built.
			o, err := Options{Roads: []string{name}, Dir: "/nowhere", Readers: true, VirtualMAC: true}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			o.Dir = dir
			l := &Lab{Options: o, Secrets: newSecrets()}
			b, err := yaml.Marshal(l.agentConfig("db1"))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "baton.yaml")
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			c, found := config.Load(file)
			if err := found.Err(); err != nil {
				t.Fatalf("%v\n%s", err, b)
			}
			if len(c.Readers.Addresses) != 2 || len(c.Addresses) == 0 || c.Addresses[0].MAC != config.AutoMAC {
				t.Errorf("for readers %v, and %v", c.Readers.Addresses, c.Addresses)
			}
			var want, got []string
			for _, r := range l.TheRoads() {
				if r.Endpoint() != "" {
					want = append(want, r.Endpoint())
				}
			}
			for _, e := range c.Endpoints {
				got = append(got, e.Name)
			}
			if !slices.Equal(got, want) {
				t.Errorf("endpoints %v, want %v", got, want)
			}
		})
	}
}

func TestEveryProgramThatIsMissingIsNamedWithItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	r := Road{Name: "dns", needs: []need{{file: "no-such-named", pack: "bind9"}, {file: "/no/such/module.so", pack: "libnginx-mod-stream"}, {file: "/dev/null", pack: "base"}}}
	var said []string
	for _, err := range r.lacks() {
		said = append(said, err.Error())
	}
	want := []string{
		"the road dns needs no-such-named: install the package bind9",
		"the road dns needs /no/such/module.so: install the package libnginx-mod-stream",
	}
	if !slices.Equal(said, want) {
		t.Errorf("it said %q", said)
	}
}
