package candidate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// passed is the reason of each node that was passed over.
type passed map[cluster.NodeName]cluster.Reason

type outcome struct {
	Winner   cluster.NodeName
	Required string
	Source   cluster.NodeName
	Decided  cluster.Reason
	Passed   passed
}

func outcomeOf(c Choice) outcome {
	o := outcome{c.Winner, c.Required.String(), c.Source, c.Decided, passed{}}
	for _, p := range c.Passed {
		o.Passed[p.Node] = p.Reason
	}
	return o
}

func check(t *testing.T, e Election, want outcome) {
	t.Helper()
	c, ok := Choose(e)
	if diff := cmp.Diff(want, outcomeOf(c)); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, c.Summary())
	}
	if ok != (c.Winner != "") {
		t.Errorf("ok is %t with winner %q", ok, c.Winner)
	}
	for _, p := range c.Passed {
		if p.Reason == "" || p.Detail == "" {
			t.Errorf("%s is passed over without reason or evidence: %+v", p.Node, p)
		}
	}
}

func TestWhoMayServe(t *testing.T) {
	ok := node("db3", "0-1-100")
	// Each of these would win by name if it were eligible.
	for name, tt := range map[string]struct {
		other Replica
		why   cluster.Reason
	}{
		"a node marked never":                             {node("db2", "0-1-100", never), cluster.PassedNever},
		"a node whose agent only observes":                {node("db2", "0-1-100", observes), cluster.PassedObserving},
		"a node that somebody works on":                   {node("db2", "0-1-100", func(r *Replica) { r.Maintenance = "ann works on it" }), cluster.PassedMaintenance},
		"a node that has not promised":                    {node("db2", "0-1-100", silent), cluster.PassedNoPromise},
		"a node with errant transactions":                 {node("db2", "0-1-100,0-2-7", errant("0-2-7")), cluster.PassedDiverged},
		"a node without binary log":                       {node("db2", "0-1-100", noBinLog), cluster.PassedNoBinLog},
		"a node that does not log what it replicates":     {node("db2", "0-1-100", noLogUpdates), cluster.PassedNoBinLog},
		"a node whose data ends in an earlier reign":      {node("db2", "0-1-90", marked(reign-1)), cluster.PassedOldEpoch},
		"a node that nobody else could replicate from":    {node("db2", "0-1-100", version("11.4.2-MariaDB")), cluster.PassedNewerServer},
		"a node that has lost the clients' network":       {node("db2", "0-1-100", cutOff), cluster.PassedNetwork},
		"a node that failed in this switch":               {node("db2", "0-1-100", failed), cluster.PassedFailed},
		"a node whose server stopped after it promised":   {node("db2", "0-1-100", down), cluster.PassedServerDown},
		"a node whose server restarted since it promised": {node("db2", "0-1-100", restarted("0-1-100")), cluster.PassedRestarted},
		"a node whose agent is silent":                    {node("db2", "0-1-100", unheard), cluster.PassedServerDown},
		"a node that waits for a person":                  {node("db2", "0-1-100", held), cluster.PassedHeld},
		"never is said first of a node with many faults":  {node("db2", "0-1-90", down, held, never), cluster.PassedNever},
	} {
		t.Run(name+" is passed over", func(t *testing.T) {
			check(t, among(tt.other, ok), outcome{"db3", "0-1-100", "", cluster.OnlyCandidate, passed{"db2": tt.why}})
		})
	}
}

func TestOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		election Election
		want     outcome
	}{
		"equal ones are split by name": {
			among(node("db3", "0-1-100"), node("db2", "0-1-100")),
			outcome{"db2", "0-1-100", "", cluster.PassedName, passed{"db3": cluster.PassedName}}},
		"less to apply comes before name": {
			among(node("db2", "0-1-100", applied("0-1-90")), node("db3", "0-1-100", applied("0-1-95"))),
			outcome{"db3", "0-1-100", "", cluster.PassedBehind, passed{"db2": cluster.PassedBehind}}},
		"one that holds everything comes before one that would have to fetch, however little": {
			among(node("db2", "0-1-99"), node("db3", "0-1-100", applied("0-1-10"))),
			outcome{"db3", "0-1-100", "", cluster.PassedIncomplete, passed{"db2": cluster.PassedIncomplete}}},
		"the preferred one fetches what it lacks": {
			among(node("db2", "0-1-100"), node("db3", "0-1-90", prefer(1))),
			outcome{"db3", "0-1-100", "db2", cluster.PassedPreference, passed{"db2": cluster.PassedPreference}}},
		"of two preferred ones the more preferred": {
			among(node("db2", "0-1-100", prefer(1)), node("db3", "0-1-100", prefer(2)), node("db4", "0-1-100")),
			outcome{"db3", "0-1-100", "", cluster.PassedPreference, passed{"db2": cluster.PassedPreference, "db4": cluster.PassedPreference}}},
		"the old primary's site comes before preference and before the order of sites": {
			among(node("db2", "0-1-100", at("a"), prefer(9)), node("db3", "0-1-100", at("b"))).sites("b", "a", "b"),
			outcome{"db3", "0-1-100", "", cluster.PassedSite, passed{"db2": cluster.PassedSite}}},
		"then the sites in their order": {
			among(node("db2", "0-1-100", at("cloud")), node("db3", "0-1-100", at("c")), node("db4", "0-1-100", at("b"))).sites("a", "a", "b", "c", "cloud"),
			outcome{"db4", "0-1-100", "", cluster.PassedSite, passed{"db2": cluster.PassedSite, "db3": cluster.PassedSite}}},
		"a site that nobody configured comes last": {
			among(node("db2", "0-1-100", at("x")), node("db3", "0-1-100", at("c"))).sites("a", "b", "c"),
			outcome{"db3", "0-1-100", "", cluster.PassedSite, passed{"db2": cluster.PassedSite}}},
		"each one passed over has its own reason": {
			among(node("db2", "0-1-100"), node("db3", "0-1-100", at("b")), node("db4", "0-1-100", prefer(-1)), node("db5", "0-1-50")),
			outcome{"db2", "0-1-100", "", cluster.PassedIncomplete, passed{
				"db3": cluster.PassedSite, "db4": cluster.PassedPreference, "db5": cluster.PassedIncomplete}}},
	} {
		t.Run(name, func(t *testing.T) { check(t, tt.election, tt.want) })
	}
}

func TestNothingAcknowledgedIsLost(t *testing.T) {
	for name, tt := range map[string]struct {
		election Election
		want     outcome
	}{
		"what was received counts, although it is not applied": {
			among(node("db2", "0-1-90"), node("db3", "0-1-100", applied("0-1-50"))),
			outcome{"db3", "0-1-100", "", cluster.PassedIncomplete, passed{"db2": cluster.PassedIncomplete}}},
		"after a restart only what was applied counts": {
			among(node("db2", "0-1-90"), node("db3", "0-1-100", applied("0-1-50"), restarted("0-1-60"))),
			outcome{"db2", "0-1-90", "", cluster.OnlyCandidate, passed{"db3": cluster.PassedRestarted}}},
		"what a restarted server had applied must be had": {
			among(node("db2", "0-1-90"), node("db3", "0-1-100", restarted("0-1-95"))),
			outcome{"", "0-1-95", "", cluster.NoOneHoldsAll, passed{"db2": cluster.PassedIncomplete, "db3": cluster.PassedRestarted}}},
		"and so must what a server had that stopped": {
			among(node("db2", "0-1-90"), node("db3", "0-1-100", applied("0-1-95"), down)),
			outcome{"", "0-1-95", "", cluster.NoOneHoldsAll, passed{"db2": cluster.PassedIncomplete, "db3": cluster.PassedServerDown}}},
		"and so must what a silent node has applied since its promise": {
			among(node("db2", "0-1-90"), node("db3", "0-1-100", unheard, func(r *Replica) { r.Promise.Executed = gtid.MustParse("0-1-90") })).acked(1, "db2", "db3"),
			outcome{"", "0-1-100", "", cluster.NoOneHoldsAll, passed{"db2": cluster.PassedIncomplete, "db3": cluster.PassedServerDown}}},
		"but not if the others show everything acknowledged": {
			among(node("db1", "0-1-120", down), node("db2", "0-1-90"), node("db3", "0-1-100")).acked(1, "db2", "db3"),
			outcome{"db3", "0-1-100", "", cluster.PassedIncomplete, passed{"db1": cluster.PassedServerDown, "db2": cluster.PassedIncomplete}}},
		"nor do they wait for a host that is gone": {
			among(node("db2", "0-1-90"), node("db3", "0-1-100"), node("db4", "0-1-120", unheard)).acked(2, "db2", "db3", "db4"),
			outcome{"db3", "0-1-100", "", cluster.PassedIncomplete, passed{"db2": cluster.PassedIncomplete, "db4": cluster.PassedServerDown}}},
		"a returned primary counts like any other node": {
			among(node("db1", "0-1-120"), node("db2", "0-1-90", prefer(1)), node("db3", "0-1-100")).acked(1, "db2", "db3"),
			outcome{"db2", "0-1-120", "db1", cluster.PassedPreference, passed{"db1": cluster.PassedPreference, "db3": cluster.PassedPreference}}},
		"one that may never serve still gives what it has": {
			among(node("db2", "0-1-100", never), node("db3", "0-1-90")),
			outcome{"db3", "0-1-100", "db2", cluster.OnlyCandidate, passed{"db2": cluster.PassedNever}}},
		"one without binary log cannot": {
			among(node("db2", "0-1-100", noBinLog), node("db3", "0-1-90")),
			outcome{"", "0-1-100", "", cluster.NoOneHoldsAll, passed{"db2": cluster.PassedNoBinLog, "db3": cluster.PassedIncomplete}}},
		"nor can one that is too new to be replicated from": {
			among(node("db2", "0-1-100", version("11.4.2")), node("db3", "0-1-90")),
			outcome{"db2", "0-1-100", "", cluster.OnlyCandidate, passed{"db3": cluster.PassedIncomplete}}},
		"what a diverged node alone has is not asked for": {
			among(node("db2", "0-1-100,0-2-7", errant("0-2-7")), node("db3", "0-1-100")).acked(1, "db2", "db3"),
			outcome{"db3", "0-1-100", "", cluster.OnlyCandidate, passed{"db2": cluster.PassedDiverged}}},
		"but what it received of the primary is, where its word is needed": {
			among(node("db2", "0-1-105,0-2-7", errant("0-2-7")), node("db3", "0-1-100")).acked(1, "db2", "db3"),
			outcome{"", "0-1-105", "", cluster.NoOneHoldsAll, passed{"db2": cluster.PassedDiverged, "db3": cluster.PassedIncomplete}}},
		"the tail of an earlier primary is not asked for": {
			among(node("db1", "0-1-120", marked(reign-1)), node("db2", "0-1-100,0-4-130"), node("db3", "0-1-100,0-4-125")),
			outcome{"db2", "0-1-100,0-4-130", "", cluster.PassedIncomplete, passed{"db1": cluster.PassedOldEpoch, "db3": cluster.PassedIncomplete}}},
		"a node that received the marker but has not applied it is of the new reign": {
			among(node("db2", "0-1-100,0-4-110"), node("db3", "0-1-100,0-4-130", applied("0-1-90"), marked(reign-1))),
			outcome{"db3", "0-1-100,0-4-130", "", cluster.PassedIncomplete, passed{"db2": cluster.PassedIncomplete}}},
		"a backup's past makes nobody lack it": {
			among(node("db2", "0-*-100,0-1-120"), node("db3", "0-1-120,0-3-50")),
			outcome{"db2", "0-*-100,0-1-120,0-3-50", "", cluster.PassedName, passed{"db3": cluster.PassedName}}},
		"nobody holds everything": {
			among(node("db2", "0-1-100,1-1-5"), node("db3", "0-1-90,1-1-7")),
			outcome{"", "0-1-100,1-1-7", "", cluster.NoOneHoldsAll, passed{"db2": cluster.PassedIncomplete, "db3": cluster.PassedIncomplete}}},
		"a person accepts that: those with the most are left": {
			among(node("db2", "0-1-100,1-1-5"), node("db3", "0-1-90,1-1-7"), node("db4", "0-1-90,1-1-5")).forced(),
			outcome{"db2", "0-1-100,1-1-5", "", cluster.PassedBehind, passed{"db3": cluster.PassedBehind, "db4": cluster.PassedIncomplete}}},
		"a person accepts to lose what only a stopped server has": {
			among(node("db2", "0-1-90"), node("db3", "0-1-100", down)).forced(),
			outcome{"db2", "0-1-90", "", cluster.OnlyCandidate, passed{"db3": cluster.PassedServerDown}}},
		"and then the preferred one fetches what can still be had": {
			among(node("db2", "0-1-90", prefer(1)), node("db3", "0-1-100", down), node("db4", "0-1-95")).forced(),
			outcome{"db2", "0-1-95", "db4", cluster.PassedPreference, passed{"db3": cluster.PassedServerDown, "db4": cluster.PassedPreference}}},
		"nobody is there": {among(), outcome{"", "", "", cluster.NobodyToPromote, passed{}}},
		"nobody may serve": {
			among(node("db2", "0-1-100", never), node("db3", "0-1-100", silent)),
			outcome{"", "0-1-100", "", cluster.NobodyToPromote, passed{"db2": cluster.PassedNever, "db3": cluster.PassedNoPromise}}},
	} {
		t.Run(name, func(t *testing.T) { check(t, tt.election, tt.want) })
	}
}

func TestWhoFailedBefore(t *testing.T) {
	for name, tt := range map[string]struct {
		election Election
		want     outcome
	}{
		"it is chosen after all if it is the only one": {
			among(node("db2", "0-1-100", failed)),
			outcome{"db2", "0-1-100", "", cluster.OnlyCandidate, passed{}}},
		"or if nobody else could come to hold everything": {
			among(node("db2", "0-1-100", failed, noLogUpdates), node("db3", "0-1-100", failed), node("db4", "0-1-90", version("10.6.1"))),
			outcome{"db3", "0-1-100", "", cluster.OnlyCandidate, passed{"db2": cluster.PassedNoBinLog, "db4": cluster.PassedIncomplete}}},
		"another one fetches from it what it alone has": {
			among(node("db2", "0-1-100", failed), node("db3", "0-1-90")),
			outcome{"db3", "0-1-100", "db2", cluster.OnlyCandidate, passed{"db2": cluster.PassedFailed}}},
		"but rather from one that did not fail": {
			among(node("db2", "0-1-100", failed), node("db3", "0-1-90", prefer(1)), node("db4", "0-1-100")),
			outcome{"db3", "0-1-100", "db4", cluster.PassedPreference, passed{"db2": cluster.PassedFailed, "db4": cluster.PassedPreference}}},
		"when all failed, one that needs nothing of others comes before the preferred one that does": {
			among(node("db2", "0-1-100", failed), node("db3", "0-1-90", failed, prefer(1))),
			outcome{"db2", "0-1-100", "", cluster.OnlyCandidate, passed{"db3": cluster.PassedIncomplete}}},
	} {
		t.Run(name, func(t *testing.T) { check(t, tt.election, tt.want) })
	}
}

func TestVersions(t *testing.T) {
	for name, tt := range map[string]struct {
		election Election
		want     outcome
	}{
		"patch levels of one series replicate both ways": {
			among(node("db2", "0-1-9", version("10.11.9-MariaDB")), node("db3", "0-1-9", version("10.11.2-MariaDB"))),
			outcome{"db2", "0-1-9", "", cluster.PassedName, passed{"db3": cluster.PassedName}}},
		"series are compared as numbers": {
			among(node("db2", "0-1-9", version("10.11.9-MariaDB")), node("db3", "0-1-9", version("10.6.2-MariaDB"))),
			outcome{"db3", "0-1-9", "", cluster.OnlyCandidate, passed{"db2": cluster.PassedNewerServer}}},
		"in the middle of an upgrade the oldest leads": {
			among(node("db2", "0-1-9", version("9.7.4")), node("db3", "0-1-9", version("8.4.2")), node("db4", "0-1-9", version("9.7.4"))),
			outcome{"db3", "0-1-9", "", cluster.OnlyCandidate, passed{"db2": cluster.PassedNewerServer, "db4": cluster.PassedNewerServer}}},
		"a newer one that nobody is left to follow may lead": {
			among(node("db2", "0-1-9", version("11.4.2")), node("db3", "0-1-9", version("10.6.2"), silent)),
			outcome{"db2", "0-1-9", "", cluster.OnlyCandidate, passed{"db3": cluster.PassedNoPromise}}},
		"and so may one without whom nobody could": {
			among(node("db2", "0-1-9", version("11.4.2")), node("db3", "0-1-9", version("10.6.2"), never)),
			outcome{"db2", "0-1-9", "", cluster.OnlyCandidate, passed{"db3": cluster.PassedNever}}},
		"a version that cannot be read is left to replication itself": {
			among(node("db2", "0-1-9", version("")), node("db3", "0-1-9")),
			outcome{"db2", "0-1-9", "", cluster.PassedName, passed{"db3": cluster.PassedName}}},
		"the handshake's prefix of MariaDB is no version": {
			among(node("db2", "0-1-9", version("5.5.5-10.11.6-MariaDB")), node("db3", "0-1-9", version("10.11.6-MariaDB"))),
			outcome{"db2", "0-1-9", "", cluster.PassedName, passed{"db3": cluster.PassedName}}},
	} {
		t.Run(name, func(t *testing.T) { check(t, tt.election, tt.want) })
	}
}

func TestAPersonAsksForANode(t *testing.T) {
	for name, tt := range map[string]struct {
		election Election
		want     outcome
	}{
		"it wins against everything that is only preference": {
			among(node("db2", "0-1-100", prefer(9)), node("db3", "0-1-90", at("far"))).wanted("db3"),
			outcome{"db3", "0-1-100", "db2", cluster.AskedFor, passed{"db2": cluster.PassedNotAsked}}},
		"also if it failed before": {
			among(node("db2", "0-1-100"), node("db3", "0-1-100", failed)).wanted("db3"),
			outcome{"db3", "0-1-100", "", cluster.AskedFor, passed{"db2": cluster.PassedNotAsked}}},
		"the refusal has its reason": {
			among(node("db2", "0-1-100"), node("db3", "0-1-100", never)).wanted("db3"),
			outcome{"", "0-1-100", "", cluster.PassedNever, passed{"db2": cluster.PassedNotAsked, "db3": cluster.PassedNever}}},
		"it is refused if others could not replicate from it": {
			among(node("db2", "0-1-100"), node("db3", "0-1-100", version("11.4"))).wanted("db3"),
			outcome{"", "0-1-100", "", cluster.PassedNewerServer, passed{"db2": cluster.PassedNotAsked, "db3": cluster.PassedNewerServer}}},
		"a node that is not there cannot be in its way": {
			among(node("db2", "0-1-100", silent), node("db3", "0-1-100", version("11.4"))).wanted("db3"),
			outcome{"db3", "0-1-100", "", cluster.AskedFor, passed{"db2": cluster.PassedNoPromise}}},
		"unless the person insists": {
			among(node("db2", "0-1-100"), node("db3", "0-1-100", version("11.4"))).wanted("db3").forced(),
			outcome{"db3", "0-1-100", "", cluster.AskedFor, passed{"db2": cluster.PassedNotAsked}}},
		"it is refused if it lacks what nobody can give it": {
			among(node("db2", "0-1-100", noBinLog), node("db3", "0-1-90")).wanted("db3"),
			outcome{"", "0-1-100", "", cluster.NoOneHoldsAll, passed{"db2": cluster.PassedNoBinLog, "db3": cluster.PassedIncomplete}}},
		"unless the person accepts the loss": {
			among(node("db2", "0-1-100", noBinLog), node("db3", "0-1-90")).wanted("db3").forced(),
			outcome{"db3", "0-1-90", "", cluster.AskedFor, passed{"db2": cluster.PassedNoBinLog}}},
		"a node that is none of ours": {
			among(node("db2", "0-1-100")).wanted("db9"),
			outcome{"", "0-1-100", "", cluster.NobodyToPromote, passed{"db2": cluster.PassedNotAsked}}},
	} {
		t.Run(name, func(t *testing.T) { check(t, tt.election, tt.want) })
	}
}

func TestPlannedSwitch(t *testing.T) {
	for name, tt := range map[string]struct {
		election Election
		want     outcome
	}{
		"nobody needs to have promised, and the old primary's position will be required": {
			among(node("db2", "0-1-100"), node("db3", "0-1-100", prefer(1))).planned(),
			outcome{"db3", "", "", cluster.PassedPreference, passed{"db2": cluster.PassedPreference}}},
		"least behind the others counts as least to apply": {
			among(node("db2", "0-1-90"), node("db3", "0-1-100")).planned(),
			outcome{"db3", "", "", cluster.PassedBehind, passed{"db2": cluster.PassedBehind}}},
		"what must not serve is refused with its reason": {
			among(node("db2", "0-1-100", down)).planned().wanted("db2"),
			outcome{"", "", "", cluster.PassedServerDown, passed{"db2": cluster.PassedServerDown}}},
		"one that others could not follow is passed over": {
			among(node("db2", "0-1-100", version("11.4")), node("db3", "0-1-100")).planned(),
			outcome{"db3", "", "", cluster.OnlyCandidate, passed{"db2": cluster.PassedNewerServer}}},
	} {
		t.Run(name, func(t *testing.T) { check(t, tt.election, tt.want) })
	}
}

func TestEvidenceIsReadable(t *testing.T) {
	c, _ := Choose(among(
		node("db2", "0-1-100"), node("db3", "0-1-90"), node("db4", "0-1-100", at("far")), node("db5", "0-1-100,0-5-3", errant("0-5-3"))))
	want := []Passed{
		{"db3", cluster.PassedIncomplete, "it would have to fetch 0-1-91..100"},
		{"db4", cluster.PassedSite, `site "far" comes after ""`},
		{"db5", cluster.PassedDiverged, "it alone has 0-5-3"},
	}
	if diff := cmp.Diff(want, c.Passed); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOnlyAPromiseForThisElectionCounts(t *testing.T) {
	fact := cluster.Fact{Server: cluster.ServerFact{State: cluster.ServerUp}, Errant: gtid.MustParse("0-2-1"), Held: "why",
		Promise: &cluster.Promise{Epoch: election - 1}}
	n := cluster.Node{Name: "db2"}
	if r := Of(n, fact, election); r.Promise != nil || r.Held != "why" || r.Errant.IsZero() || r.Node.Name != "db2" || r.Server.State != cluster.ServerUp {
		t.Errorf("got %+v", r)
	}
	if r := Of(n, fact, election-1); r.Promise != fact.Promise {
		t.Error("the promise for the election is missing")
	}
}
