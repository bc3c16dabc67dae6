package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/vitals"
)

// loaded is a server of which only the load is asked.
type loaded struct {
	db.Server
	load db.Load
	err  error
}

func (l *loaded) Load(context.Context) (db.Load, error) { return l.load, l.err }

// TestWhatLayerFourFinds lets each check find something, and lose it again. Without
// a time that it has to last, the first look tells.
func TestWhatLayerFourFinds(t *testing.T) {
	value := "7"
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query().Get("query"); q != `load{node="db1"}` {
			t.Errorf("asked %s", q)
		}
		if value == "" {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,%q]}]}}`, value)
	}))
	defer prometheus.Close()
	server := &loaded{load: db.Load{Connections: 196, MaxConnections: 200, Locked: 60}}
	h := &hostParts{database: server}
	h.disk.Store(&detect.Disk{Dir: "/d", Free: 5, Size: 100})
	h.writeTook.Store(int64(3e9))
	s := &strains{host: h, self: "db1", gauges: map[string]detect.Gauge{}, diskTime: func(string) (vitals.DiskTime, error) { return vitals.DiskTime{}, nil }}
	settings := config.Health{
		Connections: config.Gauged{Above: 95}, Locks: config.Gauged{Above: 50}, Latency: config.Gauged{Above: 1000}, Disk: config.Gauged{Above: 90},
		Prometheus: []config.Query{{Name: "load", URL: prometheus.URL, Query: `load{node="$node"}`, Above: "5"}},
	}
	find := func(serves bool, want ...string) {
		t.Helper()
		var got []string
		for _, f := range s.measure(t.Context(), settings, serves) {
			got = append(got, f.Detail)
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("found\n%s\nwant\n%s", g, w)
		}
	}
	const (
		connections = "connections: 98 % of the connections are in use, above 95 for 0s"
		disk        = "disk: 95 % of the disk are used, above 90 for 0s"
		latency     = "latency: 3000 ms for a small write, above 1000 for 0s"
		load        = "load: 7, above 5 for 0s"
		locks       = "locks: 60 sessions wait for locks of tables, above 50 for 0s"
	)
	find(true, connections, disk, latency, load, locks)
	find(false, disk, load) // what only a primary has is none of a replica's
	if s.unknowns() != "" {
		t.Errorf("all was measured, and %s", s.unknowns())
	}
	value = "" // Prometheus does not answer: that is no news of the load
	find(false, disk, load)
	if !strings.HasPrefix(s.unknowns(), "load: ") {
		t.Errorf("Prometheus did not answer, and unknown is %q", s.unknowns())
	}
	value = "2"
	find(false, disk)
	server.load.Connections, server.load.Locked = 5, 0
	h.writeTook.Store(int64(1e6))
	find(true, disk)
	server.err = errors.New("no answer")
	find(true, disk)
}

// TestADiskThatTakesLongIsFound: by what the kernel has counted since the look
// before.
func TestADiskThatTakesLongIsFound(t *testing.T) {
	var now vitals.DiskTime
	var fails error
	h := &hostParts{}
	h.disk.Store(&detect.Disk{Dir: "/d", Free: 50, Size: 100})
	s := &strains{host: h, gauges: map[string]detect.Gauge{}, diskTime: func(string) (vitals.DiskTime, error) { return now, fails }}
	settings := config.Health{DiskLatency: config.Gauged{Above: 500}}
	find := func(what, want, unknown string) {
		t.Helper()
		got := ""
		for _, f := range s.measure(t.Context(), settings, false) {
			got += f.Detail
		}
		if got != want || s.unknowns() != unknown {
			t.Errorf("%s: found %q and does not know %q; want %q and %q", what, got, s.unknowns(), want, unknown)
		}
	}
	const slow = "disk_latency: 600 ms for a request to the disk, above 500 for 0s"
	find("one look alone", "", "")
	now = vitals.DiskTime{Requests: 10, Took: 6 * time.Second}
	find("ten requests took 600 ms each", slow, "")
	now.Requests, now.Took = 20, 7*time.Second
	find("ten more took 100 ms each", "", "")
	fails = vitals.ErrNoDisk
	find("on no disk, and nobody relies on it", "", "")
	settings.DiskLatency.Action = config.FailOver
	find("on no disk, and somebody does", "", "disk_latency: it is on no disk of this host")
	fails, now = nil, vitals.DiskTime{Requests: 30, Took: time.Hour}
	find("what was before is not known any more", "", "")
}

// TestConnectionsThatFailAreFound: by how many more have failed than at the look
// before.
func TestConnectionsThatFailAreFound(t *testing.T) {
	server := &loaded{load: db.Load{Failed: 1e6}}
	s := &strains{host: &hostParts{database: server}, gauges: map[string]detect.Gauge{}}
	find := func(what string, want bool) {
		t.Helper()
		found := s.measure(t.Context(), config.Health{Errors: config.Gauged{Above: 10}}, true)
		if got := len(found) == 1 && found[0].Check == "errors"; got != want || len(found) > 1 {
			t.Errorf("%s: found %v", what, found)
		}
	}
	find("all that failed before", false)
	server.load.Failed += 1e6
	find("a million more", true)
	find("none more", false)
	server.load.Failed = 3
	find("a server that has begun to count anew", false)
}

// TestAStrainIsTold: it is in the fact, and a condition, until it is over.
func TestAStrainIsTold(t *testing.T) {
	l := reviewed()
	l.Strains = []cluster.Strain{{Check: "cpu", Detail: "cpu: 99 %"}, {Check: "disk", Detail: "disk: 95 %"}}
	f := l.Own()
	if f.Strained("cpu") == nil || f.Strained("disk") == nil || f.Strained("locks") != nil {
		t.Errorf("the fact says %v", f.Strains)
	}
	l.Assess(f)
	if got := l.Conditions[cluster.Degraded].Detail; got != "cpu: 99 %; disk: 95 %" {
		t.Errorf("the condition says %q", got)
	}
	l.Strains = nil
	if l.Assess(l.Own()); l.Conditions[cluster.Degraded].Detail != "" {
		t.Error("it is over, and still told")
	}
}
