// Package mutants answers whether the simulator would find a mistake: it holds
// planted ones, each a change to the production code of internal/core, and its
// test builds the simulator with each and wants a promise broken.
//
// It never changes a file of the checkout: the changed source is laid over it
// while it is built (go build -overlay). The one rule: a mutant that does not
// apply any more is mended, not deleted.
package mutants

import "strings"

// Mutant is one planted mistake.
type Mutant struct {
	Name string
	File string // below internal/core
	Old  string // occurs there once
	New  string
	Seed uint64 // the simulator finds it from here on within a few seeds
	// Too are other places that have to be changed for the mistake to be one: what
	// one place lets through another would stop.
	Too []Edit
}

// Edit is a change of a text that occurs once in the mutant's file.
type Edit struct{ Old, New string }

// Apply returns the source with the mistake in it; ok is false if it does not
// apply any more.
func (m Mutant) Apply(source string) (mutated string, ok bool) {
	edits := []Edit{{m.Old, m.New}}
	edits = append(edits, m.Too...)
	for _, e := range edits {
		if strings.Count(source, e.Old) != 1 {
			return "", false
		}
		source = strings.Replace(source, e.Old, e.New, 1)
	}
	return source, true
}

// All are the planted mistakes.
func All() []Mutant {
	return []Mutant{
		{"a renewal counts from its answer", "lease/lease.go",
			"until := sent.Add(s.Lease)", "until := now.Add(s.Lease)", 0, nil},
		{"a swap that ends a reign is not guarded by the lease's revision", "decide/world.go",
			"	o.LeaseRev = &rev\n", "	_ = rev\n", 0, nil},
		{"the end of a lease is concluded too early", "lease/lease.go",
			"wait := time.Duration(float64(length)*(1+s.Drift)) + s.Margin", "wait := length * 3 / 4", 0, nil},
		{"the kernel is told a deadline after the lease's end", "node/keeper.go",
			"return k.Held.Until.Add(-k.Settings.Margin)", "return k.Held.Until.Add(k.Settings.Renew)", 0, nil},
		{"fencing does not latch: a late renewal opens the gate again", "lease/lease.go",
			"	h.Latched = max(h.Latched, epoch)\n", "", 0,
			[]Edit{{"	case h.Epoch == epoch && now >= h.Until:\n		return h.Latch(epoch)\n", ""}}},
		{"that it is fenced counts although it renewed since", "decide/decide.go",
			"f.Fenced > 0 && w.saidSinceLease(r.Previous) {", "f.Fenced > 0 {", 0, nil},
		{"the word of an agent before the one that holds the lease counts", "decide/failure.go",
			"(l.Holder != n || l.Agent == \"\" || l.Agent == w.fact(n).Agent)", "true", 0, nil},
		{"a fact that was under way for long takes the place of a newer one", "node/board.go",
			"known && f.Agent == before.Value.Agent && f.Seq < before.Value.Seq", "false", 0, nil},
		{"a candidate that stalls is not fenced", "decide/decide.go",
			"return endReign(w, failed{why: why, detail: detail})", "return endReign(w, failed{why: why, detail: detail, closed: true})", 0, nil},
		{"the ack set shrinks before the rest has caught up", "decide/acks.go",
			"	if !may {", "	if may = true; !may {", 0, nil},
		{"the old ack set is forgotten before the marker is acknowledged", "decide/handoff.go",
			"return append(slices.Clone(w.Record.Quorums), q)", "return []cluster.AckQuorum{q}", 0, nil},
		{"one who left the ack set may still acknowledge", "reconcile/primary.go",
			"	if in.Host.NoCut || !CommitsWait(in.Record, in.Settings) {", "	if true {", 0, nil},
		{"an election needs only one promise", "cluster/record.go",
			"return have >= max(1, len(q.Members)-q.K+1)", "return have >= 1", 0, nil},
		{"positions are compared by counting", "gtid/gtid.go",
			"func (s Set) Contains(o Set) bool {\n", "func (s Set) Contains(o Set) bool {\n	if s.Count() >= o.Count() {\n		return true\n	}\n", 0, nil},
		{"a candidate serves without what its election was decided on", "reconcile/primary.go",
			"	case !srv.Executed.Contains(r.Required) && !srv.Held().Contains(r.Required):", "	case false:", 0, nil},
		{"a promise counts although the server died since", "decide/decide.go",
			"return !lives && !p.Executed.Union(f.Server.Executed).Contains(p.Received)", "return !lives && false", 0, nil},
		{"what one that fell silent has applied since its promise is not asked of the next primary", "candidate/holdings.go",
			"return r.Promise.Executed.Union(r.Server.Executed)\n	case", "return r.Promise.Executed\n	case", 0, nil},
		{"a restarted primary's own word counts", "decide/decide.go",
			"if q.Start != \"\" && len(q.Members) > 0 && p != nil && p.Start != q.Start {", "if false && p != nil {", 0, nil},
		{"a primary goes on after its server has restarted", "reconcile/primary.go",
			"	case otherLife(in):", "	case false:", 0, nil},
		{"gaps in MariaDB's positions make a replica seem to be of an older reign", "candidate/holdings.go",
			"	if own.Contains(r.holds) || !m.applied().Contains(own) {", "	if true {", 720, nil},
		{"a tail counts as the newest data because nobody has applied what is newer", "candidate/holdings.go",
			"epoch > newest && len(members) > 0", "epoch > newest && false && len(members) > 0", 20031, nil},
		{"what a node sees of one whose gate shuts it out is evidence", "node/view.go",
			"		if _, veiled := n.veiled[of]; veiled {", "		if false {", 1104, nil},
		{"a replica that was cut off before it had back what it lost waits for ever", "reconcile/secondary.go",
			"!srv.Replica.Receiver && !acknowledge && mayNotAcknowledge(in) {", "false {", 200, nil},
		{"a replica that is not heard of while the store is silent counts as one that acknowledges no more", "node/node.go",
			"TrackAcks(n.AckSilent, w, now); s.StoreSilent {", "TrackAcks(n.AckSilent, w, now); false {", 0, nil},
		{"what was promised to a primary without a store is forgotten by a restarted agent", "node/failsafe.go",
			"	if known {\n		return kept\n	}\n	return lease.Pledge{Until: cluster.Instant(lease.PledgeLasts(s.Lease, s))}", "	return lease.Pledge{}", 0, nil},
		{"one other node's promise is enough to serve on without the store", "node/failsafe.go",
			"		oldest = min(oldest, k.fail.granted[o])\n", "		_ = o\n", 0, nil},
		{"a node that has promised to wait takes part all the same", "lease/pledge.go",
			"return epoch > p.Epoch && now < p.Until", "return false", 0, nil},
		{"a server takes writes behind a gate that no timer shuts", "reconcile/primary.go",
			"	if in.Host.Gate != GateOpenLeased || in.Host.Unextended {", "	if in.Host.Gate == GateMissing {", 0, nil},
		{"a promotion goes on where it was although the server has restarted", "reconcile/primary.go",
			"	case follows(srv), srv.SemiSrc.Enabled != wait:", "	case follows(srv):", 0,
			[]Edit{{"srv.State == cluster.ServerUp && q.Primary", "srv.State == cluster.ServerUp && in.Record.Phase != cluster.PhasePromoting && q.Primary"}, {"	if (srv.SemiSrc.Enabled != want || srv.SemiSrc.Weak != \"\") && !(want && strange) {", "	if false && strange {"}}},
		{"a primary that restarts before its marker is acknowledged goes on", "reconcile/primary.go",
			"srv.State == cluster.ServerUp && q.Primary", "srv.State == cluster.ServerUp && in.Record.Phase != cluster.PhasePromoting && q.Primary", 0, nil},
		{"a candidate forgets its source before it has applied what it received", "reconcile/primary.go",
			"	case !srv.Executed.Contains(srv.Held()):", "	case false:", 0, nil},
		{"a primary that may have lost something gives the same numbers again", "reconcile/primary.go",
			"	if !CommitsWait(r, in.Settings) || r.Forced == r.Epoch {\n		return true\n	}\n	return slices", "	return false && slices", 0, nil},
		{"a primary whose server has restarted goes on if nobody acknowledges", "reconcile/primary.go",
			"srv.State == cluster.ServerUp && q.Primary == in.Self", "srv.State == cluster.ServerUp && len(q.Members) > 0 && q.Primary == in.Self", 0, nil},
		{"what a restarted primary dropped is not waited for", "decide/decide.go",
			"n != \"\" && !w.Record.Force {\n		return stay(cluster.AwaitingPromises, fmt.Sprintf(\"%s has lost", "n != \"\" && false {\n		return stay(cluster.AwaitingPromises, fmt.Sprintf(\"%s has lost", 200, nil},
	}
}

// Story is the course of events (package sim, Tell) that shows this mistake; empty
// if random faults do.
func (m Mutant) Story() string {
	return map[string]string{
		"a swap that ends a reign is not guarded by the lease's revision":                                  "a renewal that the others have not seen",
		"fencing does not latch: a late renewal opens the gate again":                                      "an answer that comes after the fence",
		"the ack set shrinks before the rest has caught up":                                                "one leaves before the other has caught up",
		"a fact that was under way for long takes the place of a newer one":                                "an old word of one that has lost something",
		"that it is fenced counts although it renewed since":                                               "fenced, and serving again",
		"the word of an agent before the one that holds the lease counts":                                  "a word that comes too late",
		"a primary that restarts before its marker is acknowledged goes on":                                "a primary that restarts while it is promoted",
		"a candidate that stalls is not fenced":                                                            "a candidate that nobody hears of",
		"one who left the ack set may still acknowledge":                                                   "an old replica of a primary that comes back",
		"gaps in MariaDB's positions make a replica seem to be of an older reign":                          "positions with gaps",
		"what a node sees of one whose gate shuts it out is evidence":                                      "gates that are still shut",
		"what one that fell silent has applied since its promise is not asked of the next primary":         "a promise of one that falls silent later",
		"a promise counts although the server died since":                                                  "a promise of one that falls silent",
		"a candidate forgets its source before it has applied what it received":                            "received and not applied",
		"what a restarted primary dropped is not waited for":                                               "what the restarted primary dropped",
		"a primary that may have lost something gives the same numbers again":                              "numbers given twice",
		"a primary whose server has restarted goes on if nobody acknowledges":                              "numbers given twice",
		"a replica that is not heard of while the store is silent counts as one that acknowledges no more": "a store that is away",
	}[m.Name]
}
