package public_test

import (
	"bufio"
	"context"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/api/public"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a canned one, at a moment of its own clock.
type node struct {
	serving  public.Serving
	look     *public.Look
	snapshot *api.Snapshot
	switches []api.LastSwitch
	now      cluster.Instant
}

func (n *node) Serving() public.Serving    { return n.serving }
func (n *node) Look() *public.Look         { return n.look }
func (n *node) Switches() []api.LastSwitch { return n.switches }
func (n *node) LateRenewals() int64        { return 3 }

func (n *node) Snapshot() (api.Snapshot, bool) {
	if n.snapshot == nil {
		return api.Snapshot{}, false
	}
	return *n.snapshot, true
}

func (n *node) handler() http.Handler {
	return public.Handler(n, func() cluster.Instant { return n.now }, slog.New(slog.DiscardHandler))
}

const second = cluster.Instant(time.Second)

// primary is one that serves: it has looked at 100 s, its lease ends at 102 s.
func primary() *node {
	return &node{now: 101 * second, serving: public.Serving{Epoch: 7, Until: 102 * second, Open: true},
		look: &public.Look{At: 100 * second, Stale: 4 * time.Second, Node: "db1", Epoch: 7, NotReplica: "this node is primary"}}
}

// replica has everything that the primary had at 98 s.
func replica() *node {
	return &node{now: 101 * second, look: &public.Look{At: 100 * second, Stale: 4 * time.Second, Node: "db2", Epoch: 7, NotPrimary: "db1 is primary", AppliedAt: 98 * second}}
}

func ask(h http.Handler, method, path string, accept ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Header["Accept"] = accept
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestWhoMayBeLedHere(t *testing.T) {
	with := func(n *node, change func(*node)) *node { change(n); return n }
	for name, tt := range map[string]struct {
		node *node
		path string
		code int
		says string
	}{
		"a primary with its lease": {primary(), "/primary", 200, "db1 is primary"},
		"a primary whose lease has just run out, though nothing has looked since": {
			with(primary(), func(n *node) { n.now = 102 * second }), "/primary", 503, "the lease has run out"},
		"a primary that holds the lease of another reign than it has seen": {
			with(primary(), func(n *node) { n.serving.Epoch = 8 }), "/primary", 503, "the lease has run out"},
		"a candidate with the lease and a gate that is still shut": {
			with(primary(), func(n *node) { n.serving.Open = false }), "/primary", 503, "the gate is not open for clients that write"},
		"a primary that the loop thinks is none": {
			with(primary(), func(n *node) { n.look.NotPrimary = "this server does not take writes now" }), "/primary", 503, "this server does not take writes now"},
		"a primary whose loop stands still, for as long as the lease lasts": {
			with(primary(), func(n *node) { n.now, n.serving.Until = 200*second, 201*second }), "/primary", 200, "db1 is primary"},
		"a replica is no primary":  {replica(), "/primary", 503, "db1 is primary"},
		"an agent that has begun":  {&node{}, "/primary", 503, "this agent has not looked around yet"},
		"a primary is no replica":  {primary(), "/replica", 503, "this node is primary"},
		"a replica":                {replica(), "/replica", 200, "db2 is a replica"},
		"a replica within its lag": {replica(), "/replica?lag=3s", 200, "db2 is a replica"},
		"a replica that lags":      {replica(), "/replica?lag=2900ms", 503, "up to 3s behind the primary, more than 2.9s"},
		"a replica of which it is not known": {
			with(replica(), func(n *node) { n.look.AppliedAt = 0 }), "/replica?lag=1h", 503, "how far this server is behind is not known"},
		"a replica whose agent stands still": {
			with(replica(), func(n *node) { n.now = 105 * second }), "/replica", 503, "this agent has not looked at its host for 5s"},
		"a lag without a unit":       {replica(), "/replica?lag=10", 400, "lag=10 is no length of time; write it as lag=10s or lag=500ms"},
		"a lag of nothing":           {replica(), "/replica?lag=", 400, "lag= is no length of time; write it as lag=10s or lag=500ms"},
		"a lag below zero":           {replica(), "/replica?lag=-1s", 400, "lag=-1s is no length of time; write it as lag=10s or lag=500ms"},
		"something else than a lag":  {replica(), "/replica?delay=1s", 400, `there is no "delay"; ask /replica?lag=10s`},
		"a node that is well":        {replica(), "/health", 200, "well"},
		"a node that is not":         {with(replica(), func(n *node) { n.look.Unwell = "the server is hung" }), "/health", 503, "the server is hung"},
		"a node whose loop is stuck": {with(primary(), func(n *node) { n.now = 110 * second }), "/health", 503, "this agent has not looked at its host for 10s"},
		"a check of nothing":         {primary(), "/", 404, "there are /primary, /replica?lag=10s, /health, /cluster, /history and /metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			h := tt.node.handler()
			if got := ask(h, "GET", tt.path); got.Code != tt.code || got.Body.String() != tt.says+"\n" {
				t.Errorf("GET %s: %d %q, want %d %q", tt.path, got.Code, got.Body, tt.code, tt.says)
			}
			for _, method := range []string{"HEAD", "OPTIONS"} {
				if got := ask(h, method, tt.path); got.Code != tt.code || got.Body.Len() > 0 {
					t.Errorf("%s %s: %d %q, want %d and no body", method, tt.path, got.Code, got.Body, tt.code)
				}
			}
		})
	}
}

func TestNothingIsChanged(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "CONNECT"} {
		if got := ask(primary().handler(), method, "/primary"); got.Code != 405 || got.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %d, %v", method, got.Code, got.Header())
		}
	}
}

func TestWhoAsksForJSONGetsIt(t *testing.T) {
	got := ask(replica().handler(), "GET", "/primary", "application/json")
	if want := `{"ok":false,"reason":"db1 is primary"}` + "\n"; got.Body.String() != want || got.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%q as %s, want %q", got.Body, got.Header().Get("Content-Type"), want)
	}
}

func TestTheDocuments(t *testing.T) {
	n := primary()
	for path, want := range map[string]int{"/cluster": 503, "/history": 200, "/metrics": 200} {
		if got := ask(n.handler(), "GET", path); got.Code != want {
			t.Errorf("%s of an agent that has begun: %d, want %d", path, got.Code, want)
		}
	}
	shop := apitest.Shop()
	n.snapshot, n.switches = &shop, []api.LastSwitch{{Epoch: 7, Kind: "failover", To: "db1"}}
	for path, want := range map[string]string{"/cluster": `"cluster": "shop"`, "/history": `"kind": "failover"`} {
		if got := ask(n.handler(), "GET", path); got.Code != 200 || !strings.Contains(got.Body.String(), want) {
			t.Errorf("%s: %d without %s:\n%s", path, got.Code, want, got.Body)
		}
		if got := ask(n.handler(), "HEAD", path); got.Code != 200 || got.Body.Len() > 0 {
			t.Errorf("HEAD %s: %d %q", path, got.Code, got.Body)
		}
	}
}

var update = flag.Bool("update", false, "write the table of metrics in docs/http.md anew")

func TestTheMetricsAreDocumented(t *testing.T) {
	const file, begin, end = "../../../docs/http.md", "<!-- metrics -->\n", "<!-- end -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(page), begin)
	_, tail, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no place for the metrics", file)
	}
	want := head + begin + public.Describe() + end + tail
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(page)); diff != "" {
		t.Errorf("%s is out of date (run the test with -update):\n%s", file, diff)
	}
}

// hall is a listener whose guests come by hand.
type hall struct {
	in   chan net.Conn
	once sync.Once
}

func newHall() *hall { return &hall{in: make(chan net.Conn)} }

func (h *hall) Accept() (net.Conn, error) {
	if c, ok := <-h.in; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (h *hall) Close() error   { h.once.Do(func() { close(h.in) }); return nil }
func (h *hall) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// come returns the guest's end of a connection.
func (h *hall) come() net.Conn {
	guest, host := net.Pipe()
	h.in <- host
	return guest
}

// TestWhoIsSlowIsSentAway: on a virtual clock.
func TestWhoIsSlowIsSentAway(t *testing.T) {
	for name, tt := range map[string]struct {
		does  func(t *testing.T, c net.Conn)
		after time.Duration
	}{
		"one who says nothing":         {func(*testing.T, net.Conn) {}, 2 * time.Second},
		"one who never ends his words": {func(t *testing.T, c net.Conn) { send(t, c, "GET /primary HTTP/1.1\r\nHost: x\r\n") }, 2 * time.Second},
		"one who asks once and stays": {func(t *testing.T, c net.Conn) {
			send(t, c, "GET /primary HTTP/1.1\r\nHost: x\r\n\r\n")
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || r.StatusCode != 200 {
				t.Errorf("answered %v, %v", r, err)
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
		}, 30 * time.Second},
		"one who does not take his answer": {func(t *testing.T, c net.Conn) {
			send(t, c, "GET /cluster HTTP/1.1\r\nHost: x\r\n\r\n")
		}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, shop := primary(), apitest.Shop()
				n.snapshot = &shop
				ctx, stop := context.WithCancel(t.Context())
				doors, ended := newHall(), make(chan error, 1)
				go func() { ended <- public.Serve(ctx, doors, nil, n.handler(), slog.New(slog.DiscardHandler)) }()
				c := doors.come()
				began := time.Now()
				tt.does(t, c)
				time.Sleep(tt.after - time.Since(began) - time.Millisecond)
				synctest.Wait()
				if tt.does != nil && name != "one who does not take his answer" {
					if err := alive(c); err != nil {
						t.Errorf("sent away before %s: %v", tt.after, err)
					}
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Errorf("the connection did not end in order: %v", err)
				}
				if took := time.Since(began); took > tt.after+time.Second {
					t.Errorf("sent away after %s, want %s", took, tt.after)
				}
				_ = c.Close()
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Error(err)
	}
}

// alive reports that the other end has not hung up, within an instant.
func alive(c net.Conn) error {
	_ = c.SetReadDeadline(time.Now())
	defer c.SetReadDeadline(time.Time{})
	_, err := c.Read(make([]byte, 1))
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return nil
	}
	return err
}

func TestACrowdDoesNotKeepOthersOut(t *testing.T) {
	n := primary()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- public.Serve(ctx, l, nil, n.handler(), slog.New(slog.DiscardHandler)) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	from := func(address string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	answered := func(c net.Conn) bool {
		_, _ = io.WriteString(c, "GET /primary HTTP/1.1\r\nHost: x\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_ = r.Body.Close()
		}
		return err == nil && r.StatusCode == 200
	}
	var crowd []net.Conn
	for range 64 {
		c := from("127.0.0.2")
		defer c.Close()
		if !answered(c) {
			t.Fatalf("guest %d is not let in", len(crowd))
		}
		crowd = append(crowd, c)
	}
	if c := from("127.0.0.2"); answered(c) {
		t.Error("one too many from one address is let in")
		_ = c.Close()
	}
	other := from("127.0.0.3")
	defer other.Close()
	if !answered(other) {
		t.Error("another is not let in")
	}
	_ = crowd[0].Close()
	for end := time.Now().Add(30 * time.Second); ; { // until the server has seen that he left
		c := from("127.0.0.2")
		in := answered(c)
		_ = c.Close()
		if in {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nobody is let in although somebody left")
		}
	}
}

func TestTheMetrics(t *testing.T) {
	n, shop := primary(), apitest.Shop()
	shop.LastSwitch = &api.LastSwitch{Kind: "failover", At: "2026-03-01T03:00:00Z", Took: 1500 * 1000 * 1000}
	shop.Calls = []reach.Calls{{Endpoint: "dns", Kind: "dns", Set: reach.Distribution{Count: 4, Failed: 1, Median: 21_000, Worst: 640_000, Sum: 700_000}}}
	n.snapshot = &shop
	got := map[string]string{}
	for line := range strings.Lines(ask(n.handler(), "GET", "/metrics").Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "baton_") {
			got[name] = value
		}
	}
	want := map[string]string{
		"baton_primary": "1", "baton_lease_remaining_seconds": "1", "baton_lease_late_renewals_total": "3", "baton_loop_age_seconds": "1",
		`baton_cluster_phase{phase="steady"}`: "1", `baton_cluster_phase{phase="fencing"}`: "0", `baton_cluster_primary{primary="db1"}`: "1",
		`baton_node_server_up{node="db1"}`: "1", `baton_last_switch_duration_seconds{kind="failover"}`: "1.5",
		`baton_endpoint_call_seconds{call="set",endpoint="dns",kind="dns",quantile="0.5"}`: "0.021", `baton_endpoint_call_seconds{call="set",endpoint="dns",kind="dns",quantile="1"}`: "0.64",
		`baton_endpoint_calls_total{call="set",endpoint="dns",kind="dns",result="ok"}`: "3", `baton_endpoint_calls_total{call="set",endpoint="dns",kind="dns",result="failed"}`: "1",
		`baton_endpoint_calls_seconds_total{call="set",endpoint="dns",kind="dns"}`: "0.7", `baton_endpoint_call_seconds{call="observe",endpoint="dns",kind="dns",quantile="1"}`: "",
		`baton_last_switch_timestamp_seconds{kind="failover"}`: "1.772334e+09",
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	n = replica()
	if body := ask(n.handler(), "GET", "/metrics").Body.String(); !strings.Contains(body, "baton_replica_lag_seconds 3\n") || !strings.Contains(body, "baton_primary 0\n") {
		t.Errorf("of a replica:\n%s", cmp.Diff("", body))
	}
}
