package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
)

// rejoined is what a request of db3 becomes after records that follow each other.
func rejoined(t *testing.T, method cluster.RejoinMethod, records ...cluster.Record) api.RequestState {
	t.Helper()
	q := cluster.Request{ID: "r1", Kind: cluster.RequestRejoin, Node: "db3", Method: method}
	var l api.Live
	l.Publish(api.Snapshot{Rev: 1, Requests: []cluster.Request{q}, Record: cluster.Record{Epoch: 5, Phase: cluster.PhaseSteady}})
	for i, r := range records {
		r.Epoch, r.Phase = 5, cluster.PhaseSteady
		l.Publish(api.Snapshot{Rev: cluster.Revision(i + 2), Record: r})
	}
	state, ok := l.Request("r1")
	if !ok {
		t.Fatal("nobody knows of the request")
	}
	return state
}

func TestWhatBecomesOfARejoin(t *testing.T) {
	under := cluster.Record{Rejoin: &cluster.Rejoin{ID: "r1", Node: "db3", Method: cluster.Reclone}}
	other := cluster.Record{Rejoin: &cluster.Rejoin{ID: "r2", Node: "db2", Method: cluster.Reclone}}
	ended := func(id, failed string, m cluster.RejoinMethod) cluster.Record {
		return cluster.Record{Rejoined: &cluster.Rejoined{ID: id, Node: "db3", Method: m, Failed: failed, Detail: "in words"}}
	}
	for name, tt := range map[string]struct {
		state  api.RequestState
		status api.RequestStatus
		detail string
	}{
		"nobody has dealt with it":       {rejoined(t, cluster.Reclone), api.Pending, ""},
		"it is under way":                {rejoined(t, cluster.Reclone, under), api.Accepted, ""},
		"another one is":                 {rejoined(t, cluster.Reclone, other), api.Pending, ""},
		"the node follows":               {rejoined(t, cluster.Reclone, under, ended("r1", "", cluster.Reclone)), api.Done, "db3 follows again; in words"},
		"it failed":                      {rejoined(t, cluster.Reclone, under, ended("r1", "the donor died", cluster.Reclone)), api.Failed, "the donor died"},
		"another one ended":              {rejoined(t, cluster.Reclone, under, ended("r0", "", cluster.Reclone)), api.Failed, "it is not under way any more, and nobody knows what came of it: see `baton status`"},
		"it is left as it is":            {rejoined(t, cluster.Hold, ended("r1", "", cluster.Hold)), api.Done, "db3 is left as it is"},
		"leaving it called off a rejoin": {rejoined(t, cluster.Hold, ended("r0", "called off by ann", cluster.Reclone)), api.Done, "db3 is left as it is"},
	} {
		if tt.state.Status != tt.status || tt.state.Detail != tt.detail {
			t.Errorf("%s: %s %q, want %s %q", name, tt.state.Status, tt.state.Detail, tt.status, tt.detail)
		}
	}
}

// hosts are what the hosts of a rejoin look like.
type hosts struct {
	look api.RejoinLook
	err  error
}

func (h hosts) LookRejoin(context.Context, decide.RejoinPlan) (api.RejoinLook, error) {
	return h.look, h.err
}

func TestAPlanSaysWhatWouldBeDoneAndWhatIsInTheWay(t *testing.T) {
	nodes := []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}, {Name: "db3", Role: cluster.Data}}
	settings := cluster.Settings{Cluster: "shop", Nodes: nodes, Beat: time.Second, AckLeave: time.Second}
	world := decide.World{Self: "db1", Settings: settings, RecordRev: 1, Record: cluster.Record{Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1"},
		Facts: map[cluster.NodeName]decide.Seen[cluster.Fact]{}}
	for _, n := range nodes {
		f := cluster.Fact{Node: n.Name, Mode: cluster.Active, Epoch: 5, Server: cluster.ServerFact{State: cluster.ServerUp}}
		f.Server.Replica = cluster.ReplicaFact{Source: "db1", Started: true, Receiver: true, Applier: true}
		if n.Name == "db1" {
			f.Serving, f.Server.Replica = 5, cluster.ReplicaFact{}
		}
		world.Facts[n.Name] = decide.Seen[cluster.Fact]{Value: f}
	}
	ask := func(body string, h hosts, w *decide.World) (int, api.RejoinPlan, string) {
		var l api.Live
		l.Publish(api.Snapshot{Settings: settings, Rev: 1, Record: world.Record, World: w})
		s := api.NewServer(api.Options{Source: &l, Rejoins: h, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		got := httptest.NewRecorder()
		s.Handler().ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/rejoin/plan", strings.NewReader(body)))
		var p api.RejoinPlan
		_ = json.Unmarshal(got.Body.Bytes(), &p) // an error is no plan
		return got.Code, p, got.Body.String()
	}
	const reclone = `{"kind": "rejoin", "node": "db3", "method": "reclone"}`
	well := hosts{look: api.RejoinLook{DataDir: "/data", Bytes: 5}}
	if code, p, text := ask(reclone, well, &world); code != http.StatusOK || p.Donor != "db2" || p.Refused != "" || p.Look == nil || p.Look.DataDir != "/data" {
		t.Errorf("a plan: %d %s", code, text)
	}
	lacking := hosts{look: api.RejoinLook{Lacks: []string{"on db3: no mbstream"}}}
	if _, p, text := ask(reclone, lacking, &world); p.Refused != "on db3: no mbstream" {
		t.Errorf("something is in the way: %s", text)
	}
	if code, _, text := ask(reclone, hosts{err: errors.New("db2 does not answer")}, &world); code != http.StatusServiceUnavailable || !strings.Contains(text, "db2 does not answer") {
		t.Errorf("a host cannot be looked at: %d %s", code, text)
	}
	if _, p, text := ask(`{"kind": "rejoin", "node": "db1", "method": "reclone"}`, well, &world); !strings.Contains(p.Refused, "baton switchover") || p.Look != nil {
		t.Errorf("the primary: %s", text)
	}
	for body, want := range map[string]int{
		`{"kind": "rejoin", "node": "db9"}`:                      http.StatusBadRequest,
		`{"kind": "switchover"}`:                                 http.StatusBadRequest,
		`{"kind": "pause", "method": "reclone"}`:                 http.StatusBadRequest,
		`{"kind": "rejoin", "node": "db3", "method": "reclone"}`: http.StatusServiceUnavailable, // nothing can be thought through
	} {
		if code, _, text := ask(body, well, nil); code != want {
			t.Errorf("%s: %d %s", body, code, text)
		}
	}
}
