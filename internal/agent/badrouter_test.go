package agent

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/timeline"
)

// sullen configures a router with one session, in BIRD's words, at 10.79.1.N. Each is a BIRD of its own: to one neighbour a BIRD has one session.
func sullen(at int, session string) string {
	return fmt.Sprintf("log stderr all;\nrouter id %s;\nprotocol device {}\nprotocol bgp { local 10.79.1.%d as 65000; %s; strict bind on; passive on; connect delay time 1; error wait time 1, 1; ipv4 { import all; export none; }; }\n",
		bgptest.RouterAddress, at, session)
}

const (
	anotherAS       = "neighbor 10.79.1.2 as 64999"
	anotherPassword = `neighbor 10.79.1.2 as 65001; password "abracadabra"`
	anotherHost     = "neighbor 10.79.1.99 as 65001"
	welcome         = `neighbor 10.79.1.2 as 65001; password "hunter2-session"`
)

// TestARouterThatRefusesTheSessionIsNamedEverywhere: real routers that want another AS or
// another password, or do not know this host, are named in status, log, timeline and
// condition, by the agent's own speaker and through FRR. They are tried again: one that is
// put right leads clients here, and what is wrong with the others is told all the same.
func TestARouterThatRefusesTheSessionIsNamedEverywhere(t *testing.T) {
	for _, program := range []string{"bird", "birdc", "zebra", "bgpd", "vtysh"} {
		endpointtest.Program(t, program, "/usr/lib/frr")
	}
	if !bgptest.Apart(t) {
		return
	}
	rig := bgptest.NewHere(t, 3, 4, 5, 13, 14, 15)
	rig.DB.Serves(t, []netip.Addr{netip.MustParseAddr("10.99.0.50")}, true)
	mended := map[string]bgptest.BIRD{}
	for name, first := range map[string]int{"bgp": 3, "frr": 13} {
		rig.Router.StartBIRD(t, sullen(first, anotherAS))
		mended[name] = rig.Router.StartBIRD(t, sullen(first+1, anotherPassword))
		rig.Router.StartBIRD(t, sullen(first+2, anotherHost))
	}
	frr := rig.DB.StartFRR(t, `frr defaults traditional
router bgp 65001
 bgp router-id 10.79.1.22
 no bgp ebgp-requires-policy
 neighbor R peer-group
 neighbor R remote-as 65000
 neighbor R timers connect 1
 neighbor 10.79.1.13 peer-group R
 neighbor 10.79.1.14 peer-group R
 neighbor 10.79.1.14 password hunter2-session
 neighbor 10.79.1.15 peer-group R
exit
`, "")
	for name, r := range map[string]refusal{
		"bgp": {
			endpoint: "bgp: {as: 65001, router_id: 10.79.1.2, neighbors: [{address: 10.79.1.3, as: 65000}, {address: 10.79.1.4, as: 65000, password_file: session}, {address: 10.79.1.5, as: 65000}]}",
			of: []string{
				"neighbour 10.79.1.3 (AS 65000, we are AS 65001) has no session: the router says: bad peer AS: the AS numbers of the two ends do not fit",
				"neighbour 10.79.1.5 (AS 65000, we are AS 65001) has no session: the router has ended the connection without a word: does it expect this host?",
			},
			mended: "neighbour 10.79.1.4 (AS 65000, we are AS 65001) has no session: it does not answer", at: 4,
		},
		"frr": {
			endpoint: fmt.Sprintf("frr: {vtysh: [%s], neighbors: [10.79.1.13, 10.79.1.14, 10.79.1.15]}", strings.Join(frr.Vtysh, ", ")),
			of: []string{
				`neighbour 10.79.1.13 (AS 65000, we are AS 65001 there) has no session, the last that FRR knows is "BGP Notification received, OPEN Message Error/Bad Peer AS"`,
				`neighbour 10.79.1.15 (AS 65000, we are AS 65001 there) has no session, the last that FRR knows is "Waiting for peer OPEN": does the router expect this host, with these AS numbers and the same password?`,
			},
			mended: `neighbour 10.79.1.14 (AS 65000, we are AS 65001 there) has no session, the last that FRR knows is "Waiting for peer OPEN": does the router expect this host, with these AS numbers and the same password?`, at: 14,
		},
	} {
		r.mend = func(t *testing.T) { mended[name].Configure(t, sullen(r.at, welcome)) }
		t.Run(name, func(t *testing.T) { t.Parallel(); r.isNamed(t) })
	}
}

// refusal is an endpoint whose routers all refuse it, until one is put right.
type refusal struct {
	endpoint string
	of       []string // what people are told of those that stay as they are
	mended   string   // and of the one that is put right,
	at       int      // whose address this is
	mend     func(t *testing.T)
}

func (r refusal) isNamed(t *testing.T) {
	d := standBy(t, map[string]string{"session": "hunter2-session"}, "  - {name: road, check: 250ms, timeout: 1s, "+r.endpoint+"}\naddresses: [{address: 10.99.0.50, interface: lo}]\n")
	status := func() string { return d.status("road") }
	says := func(where func() string, also ...string) func() string {
		return func() string {
			for _, want := range append(also, r.of...) {
				if text := strings.ReplaceAll(where(), `\"`, `"`); !strings.Contains(text, want) {
					return fmt.Sprintf("%q, want that it says %q", text, want)
				}
			}
			return ""
		}
	}
	named := func(what string, where func() string, also ...string) {
		t.Helper()
		if lacks := says(where, also...)(); lacks != "" {
			t.Errorf("%s: %s", what, lacks)
		}
	}
	d.until(t, says(status, "is not ready to lead there, because stand by: ", r.mended))
	d.lead()
	d.until(t, says(status, "no router has been told of 10.99.0.50: ", r.mended))
	history := func() string { return d.history("road") }
	named("the log", d.log.String, "endpoint=road", r.mended)
	named("the timeline", history, "failed: ", r.mended)

	d.Board.Record.Phase = cluster.PhaseSteady
	d.Assess(cluster.Fact{Node: "db1", Serving: 5})
	condition := d.Conditions[cluster.EndpointWrong].Detail
	named("the condition", func() string { return condition }, r.mended)
	d.Board.Record.Phase = cluster.PhasePromoting

	r.mend(t)
	d.until(t, says(status, "leads to db1, and not all is well: keep it in order: "))
	if text := status(); strings.Contains(text, r.mended) {
		t.Errorf("the router that was put right is still named: %s", text)
	}
	if text := history(); !strings.Contains(text, "ok: ") || !strings.Contains(text, fmt.Sprintf("10.79.1.%d of 10.99.0.50", r.at)) {
		t.Errorf("the timeline does not say who was told in the end: %s", text)
	}
	named("the timeline of one that leads here", func() string { return d.told(timeline.SeenBy("road")) }, "failed: keep it in order: ")
	named("the log of one that leads here", d.log.String, "keep it in order: ")
	if all := d.log.String() + condition + status() + history(); strings.Contains(all, "hunter2") {
		t.Errorf("a password is shown: %s", all)
	}
}
