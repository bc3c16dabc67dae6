package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/vitals"
)

// strains measures layer 4 on this host, and what its gauges show.
type strains struct {
	host *hostParts
	self cluster.NodeName

	gauges  map[string]detect.Gauge
	unknown map[string]string // checks that could not be measured, and why

	diskTime func(dir string) (vitals.DiskTime, error)

	cpu    vitals.CPU
	disk   vitals.DiskTime
	diskAt cluster.Instant // when disk was read; 0: never
	on     string          // the directory whose disk it was
	load   db.Load
	loadAt cluster.Instant // when load was read; 0: never in this reign
}

// watchStrains measures, again and again, until ctx ends.
func (h *hostParts) watchStrains(ctx context.Context, a *Agent) {
	s := &strains{host: h, self: a.Config.Node, gauges: map[string]detect.Gauge{}, diskTime: vitals.ReadDiskTime}
	var said []cluster.Strain
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		now := a.inForce()
		next.Reset(now.config.Health.Every)
		found := s.measure(ctx, now.config.Health, h.serves(a.Config.Node))
		if ctx.Err() != nil {
			return
		}
		if !slices.Equal(found, said) {
			a.Log.Info("layer 4", "strains", found)
			said = found
		}
		unknown := s.unknowns()
		a.post(func(l *loop) {
			l.Strains = found
			l.Conditions.Put(cluster.CheckUnknown, unknown)
		})
	}
}

// serves reports whether this node is the primary. While there is no record,
// because all only observe, it is the one whose server takes writes.
func (h *hostParts) serves(self cluster.NodeName) bool {
	r, peers := h.hands.situation()
	if own := peers[self].Server; h.observes && r.Primary == "" {
		return own.State == cluster.ServerUp && !own.ReadOnly
	}
	return r.Primary == self && (r.Phase == cluster.PhaseSteady || r.Phase == cluster.PhasePromoting)
}

// measure takes every measurement once and returns what lasts.
func (s *strains) measure(ctx context.Context, h config.Health, serves bool) []cluster.Strain {
	s.unknown = map[string]string{}
	ctx, cancel := context.WithTimeout(ctx, max(h.Every, time.Second))
	defer cancel()
	var found []cluster.Strain
	look := func(t detect.Threshold, v float64) {
		g := s.gauges[t.Name].Look(v, clock.Now(), t)
		s.gauges[t.Name] = g
	}
	s.ofHost(look, h)
	if serves {
		s.ofServer(ctx, look, h)
	} else {
		for _, name := range []string{"connections", "locks", "latency", "errors"} {
			delete(s.gauges, name)
		}
		s.loadAt = 0
	}
	for _, q := range h.Prometheus {
		s.ofPrometheus(ctx, look, q)
	}
	for _, name := range slices.Sorted(maps.Keys(s.gauges)) {
		if strain := s.gauges[name].Strain(detect.Threshold{Name: name}); strain != nil {
			found = append(found, *strain)
		}
	}
	return found
}

func (s *strains) unknowns() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(s.unknown)) {
		words = append(words, name+": "+s.unknown[name])
	}
	return strings.Join(words, "; ")
}

// ofHost measures what every data node has.
func (s *strains) ofHost(look func(detect.Threshold, float64), h config.Health) {
	if cpu, err := vitals.ReadCPU(); err != nil {
		s.unknown["cpu"] = err.Error()
	} else {
		if percent, ok := cpu.Percent(s.cpu); ok {
			look(h.Threshold("cpu"), round(percent))
		}
		s.cpu = cpu
	}
	if percent, err := vitals.MemoryPercent(); err != nil {
		s.unknown["memory"] = err.Error()
	} else {
		look(h.Threshold("memory"), round(percent))
	}
	if d := s.host.disk.Load(); d != nil && d.Size > 0 {
		look(h.Threshold("disk"), round(100-float64(d.Free)*100/float64(d.Size)))
		s.ofDisk(look, h, d.Dir)
	}
}

// ofDisk measures how long the disk of the server's data takes. Where the kernel
// counts nothing, as of a network's file system, that is unknown to those alone
// who want to rely on it.
func (s *strains) ofDisk(look func(detect.Threshold, float64), h config.Health, dir string) {
	disk, err := s.diskTime(dir)
	now := clock.Now()
	switch {
	case err == nil && s.diskAt != 0 && s.on == dir:
		took := disk.PerRequest(s.disk, now.Sub(s.diskAt))
		look(h.Threshold("disk_latency"), round(float64(took)/float64(time.Millisecond)))
	case errors.Is(err, vitals.ErrNoDisk) && h.DiskLatency.Action != config.FailOver:
	case err != nil:
		s.unknown["disk_latency"] = err.Error()
	}
	if s.disk, s.diskAt, s.on = disk, now, dir; err != nil {
		s.diskAt = 0
	}
}

// ofServer measures what only a primary has.
func (s *strains) ofServer(ctx context.Context, look func(detect.Threshold, float64), h config.Health) {
	if took := s.host.writeTook.Load(); took > 0 {
		look(h.Threshold("latency"), float64(time.Duration(took).Milliseconds()))
	}
	load, err := s.host.database.Load(ctx)
	if err != nil {
		return // that it does not answer is for layers 2 and 3 to judge
	}
	now := clock.Now()
	if load.MaxConnections > 0 {
		look(h.Threshold("connections"), round(float64(load.Connections)*100/float64(load.MaxConnections)))
	}
	look(h.Threshold("locks"), float64(load.Locked))
	if minutes := now.Sub(s.loadAt).Minutes(); s.loadAt != 0 && minutes > 0 && load.Failed >= s.load.Failed {
		look(h.Threshold("errors"), round(float64(load.Failed-s.load.Failed)/minutes))
	}
	s.load, s.loadAt = load, now
}

// ofPrometheus asks one query. What it cannot be asked leaves everything as it is.
func (s *strains) ofPrometheus(ctx context.Context, look func(detect.Threshold, float64), q config.Query) {
	values, err := vitals.Query(ctx, q.URL, strings.ReplaceAll(q.Query, "$node", string(s.self)))
	switch {
	case errors.Is(err, vitals.ErrNoData):
		s.unknown[q.Name] = err.Error()
	case err != nil:
		s.unknown[q.Name] = fmt.Sprintf("it cannot be asked: %v", err)
	case q.Below != "":
		look(q.Threshold(), slices.Min(values))
	default:
		look(q.Threshold(), slices.Max(values))
	}
}

func round(v float64) float64 { return float64(int(v*10+0.5)) / 10 }
