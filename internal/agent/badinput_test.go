package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate/dnstest"
	"github.com/baton-db/baton/internal/timeline"
)

// written is a log that may be read while it is written.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// led is a primary's agent with endpoints, as far as those need one.
type led struct {
	*loop
	agent *Agent
	log   *written
}

// lead has real endpoints of a configuration lead to this host, which has just become
// primary, until the test ends.
func lead(t *testing.T, files map[string]string, endpoints string) *led {
	t.Helper()
	d := standBy(t, files, endpoints)
	d.lead()
	return d
}

// standBy has the endpoints ready, and nothing wanted of them yet.
func standBy(t *testing.T, files map[string]string, endpoints string) *led {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"agent", "repl", "probe"} {
		if err := os.WriteFile(filepath.Join(dir, name+".password"), []byte(name+"-secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, found := config.Parse(filepath.Join(dir, "baton.yaml"), fmt.Appendf(nil, `node: db1
cluster: shop
data_dir: %[1]s/data
run_dir: %[1]s/run
nodes: [{name: db1, role: data, address: 10.77.0.11}, {name: db2, role: data, address: 10.77.0.12}, {name: db3, role: data, address: 10.77.0.13}]
server: {flavor: mariadb, socket: %[1]s/s.sock, password_file: agent.password, replication: {user: baton_repl, password_file: repl.password}, probe: {user: baton_probe, password_file: probe.password}}
endpoints:
%[2]s`, dir, endpoints))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	d := &led{loop: reviewed(), log: &written{}}
	log := slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	d.agent = &Agent{Options: Options{Config: cfg, Log: log, Wall: time.Now}, events: make(chan event, 1024)}
	if err := d.agent.force(cfg); err != nil {
		t.Fatal(err)
	}
	d.loop.log, d.timeline = log, timeline.NewRecorder(timeline.Options{Node: "db1", Now: clock.Now})
	d.Board.Record.Phase = cluster.PhasePromoting
	d.timeline.Saw(d.Board.Record, d.Board.RecordRev)
	var err error
	if d.roads, err = openRoads(d.agent); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	d.roads.run(ctx, func(run func()) { running.Go(run) })
	t.Cleanup(func() {
		stop()
		ended := make(chan struct{})
		go func() { running.Wait(); close(ended) }()
		for {
			select {
			case <-d.agent.events: // so that nobody is held up
			case <-ended:
				if err := d.roads.close(); err != nil {
					t.Error(err)
				}
				return
			}
		}
	})
	return d
}

// lead makes this host the primary that the endpoints are led to.
func (d *led) lead() {
	now := clock.Now()
	d.hearing.heard(now, time.Hour)
	d.Board.SawFact("db1", cluster.Fact{Node: "db1", Serving: 5}, 60, now)
	in := d.Input(d.senses(now))
	in.Now, in.Lease, in.Host.Gate = now, lease.Held{Epoch: 5, Until: now.Add(time.Hour)}, reconcile.GateOpenLeased
	in.Record = d.Board.Record
	d.leadEndpoints(in, d.World(d.senses(now)))
}

// until takes in what the endpoints report until it is so.
func (d *led) until(t *testing.T, so func() string) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for so() != "" {
		select {
		case e := <-d.agent.events:
			e(d.loop)
		case <-limit.C:
			t.Fatalf("%s; the log:\n%s", so(), d.log)
		}
	}
}

// status is what people are shown of an endpoint.
func (d *led) status(name string) string {
	for _, l := range d.Leads {
		if l.Endpoint == name {
			return l.String()
		}
	}
	return "nothing"
}

// history is what the timeline has of how an endpoint was led here.
func (d *led) history(name string) string { return d.told(timeline.Endpoint(name)) }

// told is what the timeline has of a step.
func (d *led) told(step timeline.Step) string {
	part, _ := d.timeline.Part(5)
	var said []string
	for _, e := range part.Events {
		if e.Step == step {
			said = append(said, string(e.Outcome)+": "+e.Detail)
		}
	}
	return strings.Join(said, "\n")
}

// answering is a server of a vendor or of one's own. It says what it was asked for.
func answering(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// TestWhatIsWrongWithAnEndpointIsNamedEverywhere: with real kinds of endpoints, of which
// each meets something else, all at the same time: status, log and timeline name it, none shows a secret, it is tried
// again, and the one that is well leads here all the while.
func TestWhatIsWrongWithAnEndpointIsNamedEverywhere(t *testing.T) {
	const right, wrong, keys = "cmlnaHQgcmlnaHQgcmlnaHQgcmlnaHQgcmlnaHQhISE=", "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3JvbmchISE=", "AKIDEXAMPLE:hunter2hunter2hunter2"
	bind := dnstest.BIND(t, dnstest.Zone{Name: "shop.test", Key: dnstest.Key{Name: "baton", Algorithm: "hmac-sha256", Secret: right},
		Also: dnstest.Key{Name: "stranger", Algorithm: "hmac-sha256", Secret: wrong}, Fixed: "fixed.test"})

	denied := answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/baton is not authorized to perform: route53:ListResourceRecordSets</Message></Error><RequestId>r1</RequestId></ErrorResponse>`)
	})
	var broken, throttled, secretive atomic.Int64
	broke := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if broken.Add(1) <= 2 {
			http.Error(w, "stack trace", http.StatusInternalServerError)
		}
	})
	busy := answering(t, func(w http.ResponseWriter, r *http.Request) {
		throttled.Add(1)
		w.Header().Set("Retry-After", "3600")
		http.Error(w, "slow down", http.StatusTooManyRequests)
	})
	hung := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server sees who leaves
		<-r.Context().Done()
	})
	echo := answering(t, func(w http.ResponseWriter, r *http.Request) {
		secretive.Add(1)
		http.Error(w, "no such token: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
	})
	well := answering(t, func(http.ResponseWriter, *http.Request) {})

	dns := func(name, of, key, algorithm, file string) string {
		return fmt.Sprintf("  - {name: %s, timeout: 5s, dns: {name: db.%s, zone: %s, servers: [%q], key: %s, algorithm: %s, secret_file: %s}}\n", name, of, of, bind.Addr, key, algorithm, file)
	}
	web := func(name, url, more string) string {
		limit := "20s" // a machine under load is slow to answer, and only one is to hang
		if name == "hangs" {
			limit = "500ms"
		}
		return fmt.Sprintf("  - {name: %s, timeout: %s, check: 1s, webhook: {url: %s/, body: \"{{.Primary.Node}}\"%s}}\n", name, limit, url, more)
	}
	d := lead(t, map[string]string{"right": right, "wrong": wrong, "keys": keys, "token": "hunter2-token", "source": "primary {{.Primary.Node}}\n"},
		dns("dns-secret", "shop.test", "baton", "hmac-sha256", "wrong")+
			dns("dns-algorithm", "shop.test", "baton", "hmac-sha512", "right")+
			dns("dns-zone", "fixed.test", "baton", "hmac-sha256", "right")+
			dns("dns-may-not", "shop.test", "stranger", "hmac-sha256", "wrong")+
			fmt.Sprintf("  - {name: permission, timeout: 5s, route53: {name: db.shop.test, zone: Z0123456789ABCDEFGHIJ, keys_file: keys, url: %s}}\n", denied)+
			web("broken", broke, "")+web("throttled", busy, "")+web("hangs", hung, "")+web("well", well, "")+
			web("token", echo, `, headers: ["Authorization: {{secret}}"], secret_file: token`)+
			"  - {name: refused, template: {source: source, file: out.txt, check: [sh, -c, \"echo not like this >&2; exit 3\"], reload: [\"true\"]}}\n"+
			"  - {name: nobody-there, haproxy: {sockets: [/nowhere/haproxy.sock], backend: db, server: primary}}\n")

	wants := map[string]string{
		"dns-secret":    "BADSIG: the server's key of that name has another secret or another algorithm",
		"dns-algorithm": "BADKEY: the server has no key baton with hmac-sha512",
		"dns-zone":      "REFUSED: the server does not let key baton update db.fixed.test",
		"dns-may-not":   "REFUSED: the server does not let key stranger update db.shop.test",
		"permission":    "lack the permission",
		"throttled":     "429",
		"hangs":         "no answer within 500ms",
		"token":         "401",
		"refused":       "not like this",
		"nobody-there":  "/nowhere/haproxy.sock",
	}
	named := func() string {
		for name, want := range wants {
			if got := d.status(name); !strings.Contains(got, want) {
				return fmt.Sprintf("the status of %s is %q, want that it says %q", name, got, want)
			}
		}
		return ""
	}
	d.until(t, named)
	d.until(t, func() string {
		for name, tries := range map[string]int64{"broken": broken.Load() - 2, "token": secretive.Load() - 1} {
			if tries < 1 {
				return name + " is not tried again"
			}
		}
		for _, name := range []string{"well", "broken"} {
			if got := d.status(name); !strings.Contains(got, "told db1") {
				return fmt.Sprintf("the status of %s is %q", name, got)
			}
		}
		return named()
	})
	for name, want := range wants {
		if said := d.history(name); !strings.Contains(said, "failed: ") || !strings.Contains(said, want) {
			t.Errorf("the timeline has of %s:\n%s\nwant that it says %q", name, said, want)
		}
		if !strings.Contains(d.log.String(), "endpoint="+name) || !strings.Contains(strings.ReplaceAll(d.log.String(), `\"`, `"`), want) {
			t.Errorf("the log does not say of %s %q:\n%s", name, want, d.log)
		}
	}
	if said := d.history("broken"); !strings.Contains(said, "failed: ") || !strings.Contains(said, "500") || !strings.Contains(said, "ok: 3 attempts") {
		t.Errorf("the timeline has of one that was well at the third attempt:\n%s", said)
	}
	if said := d.history("well"); strings.Contains(said, "failed") || !strings.Contains(said, "ok: ") {
		t.Errorf("the timeline has of one that is well:\n%s", said)
	}
	if n := throttled.Load(); n > 2 {
		t.Errorf("one that wants to be left alone for an hour was asked %d times", n)
	}
	d.Board.Record.Phase = cluster.PhaseSteady
	d.Assess(cluster.Fact{Node: "db1", Serving: 5})
	condition := d.Conditions[cluster.EndpointWrong].Detail
	for name, want := range wants {
		if !strings.Contains(condition, want) {
			t.Errorf("the condition does not say of %s %q: %s", name, want, condition)
		}
	}
	everything := d.log.String() + condition
	for name := range wants {
		everything += d.status(name) + d.history(name)
	}
	for _, secret := range []string{right, wrong, "hunter2"} {
		if strings.Contains(everything, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
}
