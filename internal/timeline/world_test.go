package timeline

import (
	"time"

	"github.com/baton-db/baton/internal/core/candidate"
	"github.com/baton-db/baton/internal/core/cluster"
)

// world is a little cluster in virtual time: each node has its own clock and
// learns of a record change when the test says so.
type world struct {
	now    time.Duration // true time, which no node knows
	clocks map[cluster.NodeName]time.Duration
	nodes  map[cluster.NodeName]*Recorder
	rev    cluster.Revision
}

func newWorld(clocks map[cluster.NodeName]time.Duration) *world {
	w := &world{clocks: clocks, nodes: map[cluster.NodeName]*Recorder{}, rev: 100, now: time.Hour}
	for name := range clocks {
		w.nodes[name] = NewRecorder(Options{Node: name, Clock: "boot-" + string(name), Now: func() cluster.Instant {
			return cluster.Instant(w.now + w.clocks[name])
		}})
	}
	return w
}

// at sets the time, in milliseconds since the story began.
func (w *world) at(ms float64) {
	w.now = time.Hour + time.Duration(ms*float64(time.Millisecond))
}

// swap makes a change of the record at ms; others learn of it late ms later.
func (w *world) swap(ms float64, by cluster.NodeName, rec cluster.Record, why cluster.Reason, detail string, late map[cluster.NodeName]float64) {
	w.rev++
	rec.By = by
	w.at(ms)
	w.nodes[by].Swapped(rec, w.rev, why, detail)
	for n, l := range late {
		w.at(ms + l)
		w.nodes[n].Saw(rec, w.rev)
	}
}

// step records a step of a node from one time to another.
func (w *world) step(n cluster.NodeName, step Step, from, to float64, outcome Outcome, detail string) {
	w.at(from)
	s := w.nodes[n].Begin(step, "")
	w.at(to)
	s.End(outcome, detail)
}

func (w *world) parts() []NodePart {
	var parts []NodePart
	for _, r := range w.nodes {
		parts = append(parts, r.Unsaved()...)
	}
	return parts
}

func record(epoch cluster.Epoch, phase cluster.Phase, change func(*cluster.Record)) cluster.Record {
	r := cluster.Record{Schema: cluster.Schema, Epoch: epoch, Phase: phase, Reason: cluster.PrimaryResigned, Detail: "mariadbd (pid 812) was killed by signal 9", Since: "2026-03-01T02:58:07Z"}
	change(&r)
	return r
}

func skewed() map[cluster.NodeName]time.Duration {
	return map[cluster.NodeName]time.Duration{"db1": 17 * time.Hour, "db2": -40 * time.Minute, "db3": 3 * time.Second}
}

// crash tells the story of a killed server: db1 resigns, db2 takes over.
func crash(clocks map[cluster.NodeName]time.Duration) *world {
	w := newWorld(clocks)
	steady := record(6, cluster.PhaseSteady, func(r *cluster.Record) { r.Primary = "db1" })
	w.at(-5000)
	for _, n := range []cluster.NodeName{"db1", "db2", "db3"} {
		w.nodes[n].Saw(steady, w.rev)
	}
	w.step("db1", StepDetect, -14, -11.5, OK, "pidfd of 812: exited by signal 9")
	w.step("db1", StepCloseGate, -11, -10.2, OK, "")
	w.step("db1", StepSockets, -10.2, -8, OK, "23 client sockets destroyed")
	w.step("db3", StepDetect, -9, -4, Cleared, "one probe was refused")
	w.step("db1", StepDropAddress, -8, -7.4, OK, "10.77.0.50")

	electing := record(7, cluster.PhaseElecting, func(r *cluster.Record) { r.Previous = "db1" })
	w.swap(0, "db1", electing, cluster.PrimaryResigned, "its server is gone", map[cluster.NodeName]float64{"db2": 2, "db3": 3.5})
	w.step("db2", StepBlock, 2.2, 12, OK, "")
	w.step("db3", StepBlock, 4, 15, OK, "")
	w.step("db2", StepPromise, 2.2, 31, OK, "holds 0-1-4711")
	w.step("db3", StepPromise, 4, 38, OK, "holds 0-1-4709")

	promoting := record(7, cluster.PhasePromoting, func(r *cluster.Record) { r.Previous, r.Primary = "db1", "db2" })
	w.swap(40, "db3", promoting, cluster.PromisesIn, "db2 chosen (more-to-apply)", map[cluster.NodeName]float64{"db1": 5, "db2": 1})
	w.nodes["db3"].Chose(7, candidate.Choice{Winner: "db2", Decided: cluster.PassedBehind, Passed: []candidate.Passed{
		{Node: "db1", Reason: cluster.PassedServerDown, Detail: "no process"},
		{Node: "db3", Reason: cluster.PassedBehind, Detail: "2 transactions more to apply than db2"},
	}})
	w.step("db2", StepApply, 42, 103, OK, "to 0-1-4711")
	w.step("db2", StepPromote, 103, 121, OK, "")
	w.step("db2", StepLease, 42, 47, OK, "")
	w.step("db2", StepOpenGate, 122, 123.4, OK, "")
	w.step("db2", StepAddress, 118, 126, OK, "10.77.0.50 on eth0")
	w.step("db3", StepFollow, 60, 90, Failed, "connect to db2: access denied\nfor user \x1b[31mbaton_repl")
	w.step("db3", StepFollow, 130, 158, OK, "db2")
	w.step("db2", StepMarker, 127, 161, OK, "acknowledged by db3")
	w.step("db2", StepVerify, 127, 140, OK, "10.77.0.50 answers here")

	w.swap(163, "db2", record(7, cluster.PhaseSteady, func(r *cluster.Record) { r.Previous, r.Primary = "db1", "db2" }),
		cluster.ReignBegan, "db2 serves at epoch 7", map[cluster.NodeName]float64{"db1": 2, "db3": 2})
	w.step("db1", StepFollow, 2200, 2950, OK, "db2")
	return w
}
