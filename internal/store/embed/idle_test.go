package embed_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/store/embed"
)

// leaseEnv has a node in a process of its own write what an agent with a lease
// of that length would.
const leaseEnv = "BATON_TEST_LEASE"

// actAsAgent does what an agent in a quiet cluster does: each node watches
// everything and writes a fact and a view every second, and the primary renews
// every quarter of its lease.
func actAsAgent(m *embed.Member, self cluster.NodeName, lease time.Duration) {
	ctx := context.Background()
	s := store.New(m.Backend(), "shop", store.Options{})
	go func() {
		for range s.Watch(ctx, 0) {
		}
	}()
	rev, _ := s.SwapRecord(ctx, 0, nil, cluster.Record{Schema: cluster.Schema, Epoch: 1, Phase: cluster.PhaseSteady, Primary: "db1"})
	renew, beat := time.NewTicker(lease/4), time.NewTicker(time.Second)
	for seq := uint64(1); ; seq++ {
		var err error
		select {
		case <-renew.C:
			if rev != 0 { // its swap has won: it is the primary
				_, err = s.RenewLease(ctx, rev, cluster.Lease{Schema: cluster.Schema, Epoch: 1, Holder: self, Seq: seq})
			}
		case <-beat.C:
			if _, err = s.PutFact(ctx, cluster.Fact{Schema: cluster.Schema, Node: self, Seq: seq, Build: strings.Repeat("x", 1000)}); err == nil {
				_, err = s.PutView(ctx, cluster.View{Schema: cluster.Schema, Observer: self, Seq: seq, Agent: strings.Repeat("x", 500)})
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
	}
}

// BenchmarkIdle measures what a member costs in a cluster to which nothing
// happens, without and with the writes of its agents: the most that any of three
// processes takes over 20 s. Run it with -benchtime 1x.
func BenchmarkIdle(b *testing.B) {
	for _, c := range []struct{ heartbeat, election, lease time.Duration }{
		{20 * time.Millisecond, 200 * time.Millisecond, 750 * time.Millisecond},
		{50 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second},
		{100 * time.Millisecond, time.Second, 10 * time.Second},
	} {
		b.Run(fmt.Sprintf("heartbeat=%s", c.heartbeat), func(b *testing.B) { measureIdle(b, c.heartbeat, c.election, "") })
		b.Run(fmt.Sprintf("heartbeat=%s,lease=%s", c.heartbeat, c.lease), func(b *testing.B) {
			measureIdle(b, c.heartbeat, c.election, leaseEnv+"="+c.lease.String())
		})
	}
}

func measureIdle(b *testing.B, heartbeat, election time.Duration, env string) {
	const settle, span = 5 * time.Second, 20 * time.Second
	n := newNodes(b)
	var all []*process
	for _, name := range names {
		o := n.options(name)
		o.Heartbeat, o.Election = heartbeat, election
		all = append(all, fork(b, o, env))
	}
	for _, p := range all {
		p.says(b, "ready")
	}
	<-time.After(settle)
	before := make([]time.Duration, len(all))
	for i, p := range all {
		before[i] = processorTime(b, p.cmd.Process.Pid)
	}
	<-time.After(span)
	var most, all3 time.Duration
	var resident float64
	for i, p := range all {
		took := processorTime(b, p.cmd.Process.Pid) - before[i]
		most, all3 = max(most, took), all3+took
		resident = max(resident, residentMB(b, p.cmd.Process.Pid))
	}
	b.ReportMetric(100*most.Seconds()/span.Seconds(), "%core-most")
	b.ReportMetric(100*all3.Seconds()/span.Seconds()/float64(len(all)), "%core-mean")
	b.ReportMetric(resident, "MB-resident")
	b.ReportMetric(0, "ns/op")
}

// processorTime returns what a process has used so far (proc_pid_stat(5): utime
// and stime, in hundredths of a second).
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] {
		t, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += t
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// residentMB returns how much memory of a process is in RAM.
func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1024
}
