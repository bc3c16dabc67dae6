package api_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves a cluster and returns it with a client.
func start(t *testing.T, s api.Snapshot) (*apitest.Cluster, *api.Client) {
	t.Helper()
	c := apitest.Start(t, filepath.Join(t.TempDir(), "shop.sock"), s)
	client := api.NewClient(c.Socket)
	t.Cleanup(client.Close)
	return c, client
}

func TestStatusIsWhatTheAgentKnows(t *testing.T) {
	for name, s := range map[string]api.Snapshot{"healthy": apitest.Shop(), "broken": apitest.Broken()} {
		t.Run(name, func(t *testing.T) {
			_, client := start(t, s)
			got, err := client.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(api.StatusOf(s), got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(cluster.Record{})); diff != "" {
				t.Errorf("on the way to the client it changed (-sent +got):\n%s", diff)
			}
		})
	}
}

func TestWhatANodeIs(t *testing.T) {
	parts := func(s api.Snapshot) map[cluster.NodeName]api.Part {
		got := map[cluster.NodeName]api.Part{}
		for _, r := range api.StatusOf(s).Nodes {
			got[r.Name] = r.Part
		}
		return got
	}
	promoting := apitest.Shop()
	promoting.Record.Epoch, promoting.Record.Phase, promoting.Record.Primary = 8, cluster.PhasePromoting, "db2"
	handoff := apitest.Shop()
	handoff.Record.Phase, handoff.Record.Candidate = cluster.PhaseHandoff, "db3"
	for name, tt := range map[string]struct {
		in   api.Snapshot
		want map[cluster.NodeName]api.Part
	}{
		"all is well":                    {apitest.Shop(), map[cluster.NodeName]api.Part{"db1": api.IsPrimary, "db2": api.IsReplica, "db3": api.IsReplica, "w1": api.IsWitness}},
		"named primary, not serving yet": {promoting, map[cluster.NodeName]api.Part{"db1": api.IsAlone, "db2": api.IsPromoting, "db3": api.IsReplica, "w1": api.IsWitness}},
		"a planned switch":               {handoff, map[cluster.NodeName]api.Part{"db1": api.IsPrimary, "db2": api.IsReplica, "db3": api.IsCandidate, "w1": api.IsWitness}},
		"an election":                    {apitest.Broken(), map[cluster.NodeName]api.Part{"db1": api.IsSilent, "db2": api.IsReplica, "db3": api.IsHeld, "w1": api.IsSilent}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parts(tt.in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBehindIsCountedFromSets(t *testing.T) {
	for _, r := range api.StatusOf(apitest.Shop()).Nodes {
		switch r.Name {
		case "db1", "w1":
			if r.Behind != nil {
				t.Errorf("%s is behind nobody, told %d", r.Name, *r.Behind)
			}
		case "db2":
			if r.Behind == nil || *r.Behind != 0 {
				t.Errorf("db2 has everything, told %v", r.Behind)
			}
		case "db3":
			if r.Behind == nil || *r.Behind != 9 {
				t.Errorf("db3 lacks 9 transactions, told %v", r.Behind)
			}
		}
	}
}

func TestTheEndpointsAreThePrimarysAndEveryHostsOwn(t *testing.T) {
	s := apitest.Shop()
	lead := func(n cluster.NodeName, leads ...cluster.Lead) {
		f := s.Facts[n]
		f.Value.Leads = leads
		s.Facts[n] = f
	}
	app := cluster.Lead{Endpoint: "app", Wanted: "db1", To: "db1", Settled: true}
	proxy := func(on cluster.NodeName) cluster.Lead { return cluster.Lead{On: on, Endpoint: "proxy", Wanted: "db1"} }
	lead("db1", proxy("db1"), app)
	lead("db2", cluster.Lead{Endpoint: "app", Wanted: "db2"}, proxy("db2")) // not the primary any more
	s.Record.Primary = "db1"
	want := []cluster.Lead{app, proxy("db1"), proxy("db2")}
	if diff := cmp.Diff(want, api.StatusOf(s).Endpoints); diff != "" {
		t.Error(diff)
	}
}

func TestWhatBecomesOfARequest(t *testing.T) {
	for name, tt := range map[string]struct {
		behaviour apitest.Behaviour
		ask       api.Ask
		want      api.RequestState
	}{
		"a switchover is done": {apitest.Obeys, api.Ask{Kind: cluster.RequestSwitchover, To: "db3"},
			api.RequestState{Kind: cluster.RequestSwitchover, Status: api.Done, Epoch: 9, Phase: cluster.PhaseSteady, Primary: "db3"}},
		"a switchover is rolled back": {apitest.RollsBack, api.Ask{Kind: cluster.RequestSwitchover},
			api.RequestState{Kind: cluster.RequestSwitchover, Status: api.Failed, Epoch: 9, Phase: cluster.PhaseSteady, Primary: "db1",
				Reason: cluster.HandoffTimedOut, Detail: "rolled back, db1 is primary: 2 transactions were still open after 5s"}},
		"a switchover is refused": {apitest.Refuses, api.Ask{Kind: cluster.RequestSwitchover},
			api.RequestState{Kind: cluster.RequestSwitchover, Status: api.Refused, Reason: cluster.RequestRefused,
				Detail: "a switch is going on already (electing at epoch 8): wait for it to end"}},
		"a pause is done": {apitest.Obeys, api.Ask{Kind: cluster.RequestPause, Why: "upgrade"},
			api.RequestState{Kind: cluster.RequestPause, Status: api.Done, Epoch: 7, Phase: cluster.PhaseSteady, Primary: "db1"}},
		"a resume of what is not paused is done": {apitest.Obeys, api.Ask{Kind: cluster.RequestResume},
			api.RequestState{Kind: cluster.RequestResume, Status: api.Done, Epoch: 7, Phase: cluster.PhaseSteady, Primary: "db1"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, client := start(t, apitest.Shop())
			c.Behave(tt.behaviour)
			first, err := client.Submit(t.Context(), tt.ask)
			if err != nil {
				t.Fatal(err)
			}
			got, err := client.Await(t.Context(), first.ID)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID = first.ID
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			asked := c.Asked()
			if len(asked) != 1 || asked[0].Epoch != 7 || !strings.HasSuffix(asked[0].By, "@db1") {
				t.Errorf("the store got %+v", asked)
			}
			if read := c.Forgotten(); (tt.behaviour == apitest.Refuses) != (len(read) > 0) {
				t.Errorf("deleted from the store after reading: %v", read)
			}
		})
	}
}

func TestARequestThatNobodyDealsWithStaysPending(t *testing.T) {
	c, client := start(t, apitest.Shop())
	c.Behave(apitest.Ignores)
	first, err := client.Submit(t.Context(), api.Ask{Kind: cluster.RequestSwitchover})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Request(t.Context(), first.ID, 10*time.Millisecond)
	if err != nil || got.Status != api.Pending {
		t.Errorf("got %+v, %v", got, err)
	}
	s := c.Snapshot()
	s.Rev++ // somebody left the ack set: no answer to the request
	c.Set(s)
	if got, err := client.Request(t.Context(), first.ID, 0); err != nil || got.Status != api.Pending {
		t.Errorf("after another change: got %+v, %v", got, err)
	}
	s.Rev, s.Requests = s.Rev+1, nil // it went, and the record is about something else
	c.Set(s)
	if got, err := client.Await(t.Context(), first.ID); err != nil || got.Status != api.Failed {
		t.Errorf("overtaken: got %+v, %v", got, err)
	}
}

func TestARequestOutlivesTheDaemon(t *testing.T) {
	s := apitest.Shop()
	s.Record.Request = "switchover-of-before"
	_, client := start(t, s)
	got, err := client.Request(t.Context(), "switchover-of-before", 0)
	if err != nil || got.Status != api.Done || got.Primary != "db1" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBadInputIsRefusedBeforeTheStoreSeesIt(t *testing.T) {
	c, client := start(t, apitest.Shop())
	for name, tt := range map[string]struct {
		ask  api.Ask
		want string
	}{
		"no kind":               {api.Ask{}, `no request of kind ""`},
		"an unknown kind":       {api.Ask{Kind: "explode"}, `no request of kind "explode"`},
		"a node that is not":    {api.Ask{Kind: cluster.RequestSwitchover, To: "db9"}, "use one of db1, db2, db3"},
		"a witness":             {api.Ask{Kind: cluster.RequestSwitchover, To: "w1"}, "no data node"},
		"a forced switchover":   {api.Ask{Kind: cluster.RequestSwitchover, Force: true}, "cannot be forced"},
		"a pause with a target": {api.Ask{Kind: cluster.RequestPause, To: "db1"}, "has no \"to\""},
		"a rejoin of nobody":    {api.Ask{Kind: cluster.RequestRejoin}, "name one of"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Submit(t.Context(), tt.ask)
			var said *api.Error
			if !errors.As(err, &said) || said.Status != http.StatusBadRequest || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want 400 with %q", err, tt.want)
			}
		})
	}
	if asked := c.Asked(); len(asked) != 0 {
		t.Errorf("the store got %+v", asked)
	}
}

// raw speaks HTTP on the socket without the client.
func raw(t *testing.T, socket, method, path, body string) (int, string) {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://baton"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

func TestRawRequests(t *testing.T) {
	c, _ := start(t, apitest.Shop())
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"a body that is not JSON":     {"POST", "/v1/requests", "{", 400, "read the request's body"},
		"a field that is not":         {"POST", "/v1/requests", `{"kind":"pause","wat":1}`, 400, "wat"},
		"two requests at once":        {"POST", "/v1/requests", `{"kind":"pause"}{"kind":"pause"}`, 400, "one request at a time"},
		"a body without end":          {"POST", "/v1/requests", `{"why":"` + strings.Repeat("x", 1<<20), 400, "read the request's body"},
		"a path that is not":          {"GET", "/v2/status", "", 404, "there is no GET /v2/status"},
		"an epoch that is none":       {"GET", "/v1/history/seven", "", 400, "not an epoch"},
		"an epoch without a switch":   {"GET", "/v1/history/4", "", 404, "no switch is recorded"},
		"a request nobody knows":      {"GET", "/v1/requests/x", "", 404, "knows of no request"},
		"a wait that is no duration":  {"GET", "/v1/requests/x?wait=long", "", 400, "not a duration"},
		"events after what is no id":  {"GET", "/v1/events?after=x", "", 400, "not the number of an event"},
		"an empty history is a list":  {"GET", "/v1/history", "", 200, "[]"},
		"facts as they are":           {"GET", "/v1/facts", "", 200, `"record_rev": 101`},
		"deleting what is to be read": {"DELETE", "/v1/status", "", 404, "there is no DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := raw(t, c.Socket, tt.method, tt.path, tt.body)
			if status != tt.status || !strings.Contains(text, tt.says) {
				t.Errorf("got %d, want %d saying %q:\n%s", status, tt.status, tt.says, text)
			}
		})
	}
}

func TestBeforeTheAgentKnowsAnything(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	apitest.Start(t, socket)
	client := api.NewClient(socket)
	defer client.Close()
	_, err := client.Status(t.Context())
	var said *api.Error
	if !errors.As(err, &said) || said.Status != http.StatusServiceUnavailable {
		t.Errorf("got %v, want 503", err)
	}
}

func TestStoreThatCannotBeWritten(t *testing.T) {
	c, client := start(t, apitest.Shop())
	c.Behave(apitest.StoreGone)
	_, err := client.Submit(t.Context(), api.Ask{Kind: cluster.RequestPause})
	var said *api.Error
	if !errors.As(err, &said) || said.Status != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "no majority") {
		t.Errorf("got %v, want 503 with the cause", err)
	}
}

func TestHistoryIsMergedFromParts(t *testing.T) {
	c, client := start(t, apitest.Shop())
	now := cluster.Instant(1000)
	r := timeline.NewRecorder(timeline.Options{Node: "db1", Clock: "x", Now: func() cluster.Instant { now += 1_000_000; return now }})
	r.Swapped(cluster.Record{Epoch: 8, Phase: cluster.PhaseFencing, Previous: "db1", Reason: cluster.LeaseExpired}, 200, "", "")
	r.Swapped(cluster.Record{Epoch: 8, Phase: cluster.PhaseSteady, Primary: "db2", Previous: "db1", Reason: cluster.LeaseExpired}, 201, "", "")
	c.Remember(r.Unsaved())
	all, err := client.History(t.Context())
	if err != nil || len(all) != 1 || all[0].To != "db2" {
		t.Fatalf("got %+v, %v", all, err)
	}
	one, err := client.Switch(t.Context(), 8)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all[0], one); diff != "" {
		t.Errorf("alone it is told otherwise:\n%s", diff)
	}
}

func TestEventsFromNowOn(t *testing.T) {
	c, client := start(t, apitest.Shop())
	s := c.Snapshot()
	s.Rev++
	c.Set(s) // before: not in the stream
	stream, err := client.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	s.Rev++
	s.Record.Epoch, s.Record.Phase, s.Record.Primary = 8, cluster.PhaseFencing, ""
	s.Verdict = api.Verdict{Reason: cluster.AwaitingFence}
	c.Set(s)
	c.Set(apitest.Broken())
	var got []string
	for len(got) < 8 {
		e, err := stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Record != nil:
			got = append(got, "record "+string(e.Record.Phase))
		case e.Verdict != nil:
			got = append(got, "verdict "+string(e.Verdict.Reason))
		case e.Condition != nil:
			got = append(got, string(e.Kind)+" "+string(e.Node)+" "+string(e.Condition.Reason))
		case e.Request != nil:
			got = append(got, "request "+string(e.Request.Status))
		}
		if e.Seq == 0 || e.At == "" {
			t.Errorf("an event without number or time: %+v", e)
		}
		if len(got) == 7 {
			healed := apitest.Shop()
			healed.Rev = apitest.Broken().Rev // the same record, as far as anyone knows
			healed.Verdict = apitest.Broken().Verdict
			healed.Facts["db2"] = apitest.Shop().Facts["db2"]
			c.Set(healed)
		}
	}
	want := []string{
		"record fencing", "verdict awaiting-fence",
		"record electing", "verdict awaiting-promises",
		"condition db2 replication-broken", "condition db2 not-realtime",
		"request refused",
		"condition-ended db2 replication-broken",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEventsAreReplayed(t *testing.T) {
	var l api.Live
	s := apitest.Shop()
	l.Publish(s)
	for range 700 {
		s.Rev++
		l.Publish(s)
	}
	all, _ := l.Since(0)
	if len(all) == 0 || len(all) > 512 || all[len(all)-1].Seq != 700 {
		t.Fatalf("%d events are kept, the last is %d", len(all), all[len(all)-1].Seq)
	}
	if some, _ := l.Since(698); len(some) != 2 || some[0].Seq != 699 {
		t.Errorf("after 698: %+v", some)
	}
	if again, _ := l.Since(9999); len(again) != len(all) {
		t.Errorf("a reader from before a restart gets %d events, not all", len(again))
	}
	_, more := l.Since(700)
	select {
	case <-more:
		t.Fatal("told of more before there was any")
	default:
	}
	s.Rev++
	l.Publish(s)
	<-more
}

func TestTheSocketIsForTheOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if _, err := api.Listen(path); !errors.Is(err, api.ErrServed) {
		t.Errorf("a second daemon took the socket of the first: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".new*"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there after Close: %v", err)
	}
}

func TestASocketThatADeadProcessLeftIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
}

func TestAFileInPlaceOfTheSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := api.Listen(path); err == nil {
		l.Close()
		t.Fatal("a file was replaced by a socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	client := api.NewClient(filepath.Join(t.TempDir(), "s"))
	defer client.Close()
	if _, err := client.Status(t.Context()); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Status(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, api.ErrUnreachable) {
		t.Errorf("given up by the caller, told as %v", err)
	}
}
