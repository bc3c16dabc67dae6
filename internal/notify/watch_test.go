package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
)

// scene is a cluster of db1, db2 and db3 as one of them sees it.
type scene struct {
	View
	watch Watch
	dead  map[cluster.NodeName]bool
}

func on(self cluster.NodeName) *scene {
	s := &scene{dead: map[cluster.NodeName]bool{}}
	s.watch = Watch{Cluster: "shop", Self: self, Hold: 5 * time.Second, Explain: func(r cluster.Reason) Meaning {
		return Meaning{Severity: Warning, Sign: "sign of " + string(r), Advice: "mend it"}
	}}
	s.View = View{Now: 1_000_000_000, Wall: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Speaker: "db1", Conditions: map[cluster.NodeName][]cluster.Condition{},
		Alive:  func(n cluster.NodeName) bool { return !s.dead[n] },
		Record: cluster.Record{Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1"}}
	s.look()
	return s
}

// look returns what is told, in words.
func (s *scene) look() (told []string) {
	for _, n := range s.watch.Look(s.View) {
		told = append(told, n.Title())
	}
	return told
}

func (s *scene) after(d time.Duration) []string {
	s.Now, s.Wall = s.Now.Add(d), s.Wall.Add(d)
	return s.look()
}

func (s *scene) has(node cluster.NodeName, reasons ...cluster.Reason) {
	s.Conditions[node] = nil
	for _, r := range reasons {
		s.Conditions[node] = append(s.Conditions[node], cluster.Condition{Reason: r, Detail: "seen", Since: s.Wall.Format(time.RFC3339)})
	}
}

func (s *scene) becomes(epoch cluster.Epoch, phase cluster.Phase, primary, candidate, previous cluster.NodeName) {
	s.Record = cluster.Record{Epoch: epoch, Phase: phase, Primary: primary, Candidate: candidate, Previous: previous, Reason: cluster.LeaseExpired}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatLastsIsToldOnceAndItsEndToo(t *testing.T) {
	s := on("db1")
	s.has("db2", cluster.ReplicaBroken)
	want(t, s.look())
	want(t, s.after(4*time.Second))
	want(t, s.after(time.Second), "[WARNING] shop/db2: replication-broken")
	want(t, s.after(time.Hour))
	s.has("db2")
	want(t, s.after(time.Second))
	s.has("db2", cluster.ReplicaBroken) // it flaps
	want(t, s.after(10*time.Second))
	s.has("db2")
	want(t, s.after(time.Second))
	want(t, s.after(5*time.Second), "[OK] shop/db2: replication-broken is over")
	want(t, s.after(time.Hour))
}

func TestWhatComesAndGoesIsNotTold(t *testing.T) {
	s := on("db1")
	for range 10 {
		s.has("db2", cluster.ServerDown)
		want(t, s.after(time.Second))
		s.has("db2")
		want(t, s.after(6*time.Second))
	}
}

func TestOneNodeSpeaks(t *testing.T) {
	for self, told := range map[cluster.NodeName]int{"db1": 1, "db2": 0, "db3": 0} {
		s := on(self)
		s.has("db2", cluster.ReplicaBroken)
		s.look()
		if got := s.after(5 * time.Second); len(got) != told {
			t.Errorf("%s tells %v", self, got)
		}
	}
}

func TestASwitchIsToldFromItsBeginToItsEnd(t *testing.T) {
	s := on("db1")
	s.becomes(6, cluster.PhaseHandoff, "db1", "db2", "")
	want(t, s.after(time.Second), "[SWITCH] shop: db1 is being replaced as primary (epoch 6)")
	s.becomes(7, cluster.PhasePromoting, "db2", "", "db1")
	want(t, s.after(50*time.Millisecond))
	s.becomes(7, cluster.PhaseSteady, "db2", "", "db1")
	want(t, s.after(100*time.Millisecond), "[PRIMARY] shop: db2 is primary, it was db1 (epoch 7, 150 ms)")
	s.becomes(8, cluster.PhaseHandoff, "db2", "db1", "")
	want(t, s.after(time.Second), "[SWITCH] shop: db2 is being replaced as primary (epoch 8)")
	s.becomes(9, cluster.PhasePromoting, "db2", "", "db2")
	want(t, s.after(time.Second))
	s.becomes(9, cluster.PhaseSteady, "db2", "", "")
	want(t, s.after(time.Second), "[SWITCH FAILED] shop: db2 is still primary (epoch 9)")
}

// The speaker is the primary that dies: db2 tells what db1 cannot, once it is sure
// that db1 is gone, and nothing twice.
func TestWhatADeadSpeakerDidNotTellTheNextOneTells(t *testing.T) {
	s := on("db2")
	s.becomes(6, cluster.PhaseElecting, "", "", "db1")
	want(t, s.after(time.Second)) // db1 is believed to be there still
	s.becomes(6, cluster.PhasePromoting, "db2", "", "db1")
	want(t, s.after(time.Second))
	s.Speaker = "db2"
	s.becomes(6, cluster.PhaseSteady, "db2", "", "db1")
	want(t, s.after(time.Second), "[PRIMARY] shop: db2 is primary, it was db1 (epoch 6, 2000 ms)")
	s.dead["db1"] = true
	want(t, s.after(2*time.Second), "[SWITCH] shop: db1 is being replaced as primary (epoch 6)")
	want(t, s.after(2*time.Second))

	s = on("db2") // another course: db1 hands over and lives, so it has told it
	s.becomes(6, cluster.PhaseHandoff, "db1", "db2", "")
	want(t, s.after(time.Second))
	s.Speaker = "db2"
	want(t, s.after(time.Minute))
	s.dead["db1"] = true
	want(t, s.after(time.Second))
}

func TestANodeWithoutTheStoreSpeaksForItself(t *testing.T) {
	s := on("db3")
	s.Alone, s.Held, s.HeldDetail = true, cluster.StoreSilent, "no majority answers"
	s.has("db2", cluster.ReplicaBroken)
	s.look()
	want(t, s.after(5*time.Second), "[WARNING] shop/db3: store-silent")
	s.Alone, s.Held = false, ""
	s.has("db2")
	want(t, s.after(time.Second))
	want(t, s.after(5*time.Second), "[OK] shop/db3: store-silent is over")
}

func TestWhatWasKnownBeforeTheAgentStartedIsNotToldAgain(t *testing.T) {
	s := &scene{dead: map[cluster.NodeName]bool{}}
	fresh := on("db1")
	s.View, s.watch = fresh.View, Watch{Cluster: "shop", Self: "db1", Hold: 5 * time.Second, Explain: fresh.watch.Explain}
	s.has("db2", cluster.ReplicaBroken)
	s.has("db3", cluster.ServerDown)
	s.Conditions["db2"][0].Since = s.Wall.Add(-time.Hour).Format(time.RFC3339)
	want(t, s.look())
	want(t, s.after(5*time.Second), "[WARNING] shop/db3: server-down")
	s.has("db2")
	s.look()
	want(t, s.after(5*time.Second), "[OK] shop/db2: replication-broken is over")
}

func TestANoticeSaysWhatAPersonNeeds(t *testing.T) {
	s := on("db1")
	s.has("db2", cluster.ReplicaBroken)
	s.look()
	s.Now, s.Wall = s.Now.Add(5*time.Second), s.Wall.Add(5*time.Second)
	got := s.watch.Look(s.View)[0]
	const text = "[WARNING] shop/db2: replication-broken\nsign of replication-broken\nSeen: seen\nTo do: mend it\nTold by db1 at 2026-11-20T10:00:05Z"
	if got.Text() != text || got.ID != "shop/db2/replication-broken/2026-11-20T10:00:00Z/raised" {
		t.Errorf("%s\n%s", got.ID, got.Text())
	}
	if !strings.Contains(Notice{Kind: Test, Cluster: "shop"}.Text(), "[TEST] shop") {
		t.Error("a test does not say that it is one")
	}
}
