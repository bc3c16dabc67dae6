package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

var (
	errServerDown = errors.New("the server does not answer")
	errLockWait   = errors.New("read_only does not get its lock: commits wait")
	errUnapplied  = errors.New("something received is not applied")
	errReceiver   = errors.New("it is not received, and nobody receives")
)

// txn is one transaction, with the GTID 0-server-seq.
type txn struct {
	server uint32
	seq    uint64
	write  *write        // a client's; nil: none
	marker cluster.Epoch // a reign's marker; 0: none
}

func (t txn) is(o txn) bool { return t.server == o.server && t.seq == o.seq }

// commit is a transaction whose client waits for the answer.
type commit struct {
	index  int // in the log
	answer func(ok bool)
}

// server is one database server in the manner of MariaDB: GTID positions,
// semi-synchronous replication that waits AFTER_SYNC for one acknowledgement,
// a relay log, and a binary log that survives crashes, but perhaps its end.
type server struct {
	w  *world
	h  *host
	id uint32

	up   bool
	hung bool // stopped by a signal
	// stopping says that it is being shut down, gone when the process that has ended
	// is there no more.
	stopping bool
	gone     int64
	full     bool // its disk is full: writes do not come back
	// backup says that a backup holds the global read lock, lagging that it takes
	// lag longer for every transaction that it applies.
	backup, lagging bool
	life            int
	// recovered is how long the log was when this life began: what a server has
	// come up with once, no later crash takes from it.
	recovered int

	readOnly   bool
	log        []txn
	semiSource bool
	waiting    []commit
	locking    bool // somebody waits for the lock that read_only needs
	marker     cluster.Epoch

	replica replica

	executed gtid.Set // of log[:counted]
	counted  int
	last     [8]uint64 // newest number of each server in log[:counted]
}

func newServer(w *world, h *host) *server {
	s := &server{w: w, h: h, id: uint32(h.i + 1), up: true, life: 1, readOnly: true}
	s.replica.applier = true
	w.after(w.between(0, w.settings.Renew), s.heartbeat)
	return s
}

// answers reports whether statements come back.
func (s *server) answers() bool { return s.h.up && s.up && !s.hung && !s.stopping }

// writable reports whether a client's commit would be carried out.
func (s *server) writable() bool { return s.answers() && !s.readOnly && !s.full }

func (s *server) start() {
	if s.up || !s.h.up {
		return
	}
	if s.dies() {
		s.w.at(s.gone, s.start)
		return
	}
	s.up, s.hung, s.readOnly, s.semiSource, s.locking = true, false, true, false, false
	s.life++
	s.recovered = len(s.log)
	s.replica = replica{source: s.replica.source, semi: false}
	s.trace("the server starts, life %d, holding %s", s.life, s.position())
	if a := s.h.agent; a != nil {
		a.after(time.Millisecond, a.observeNow)
	}
}

// crash kills the process. What its relay log had is fetched again, and a source
// may come back without the end of its log; but what a client may have seen
// acknowledged is kept somewhere: a single failure loses no more.
func (s *server) crash(how string) {
	if !s.up {
		return
	}
	s.keepTheOnlyCopies()
	s.up, s.hung, s.stopping, s.waiting = false, false, false, nil
	s.replica.started, s.replica.connected = false, false
	dropped := 0
	if s.w.draw.trunc {
		dropped = s.truncate()
	}
	s.trace("the server dies %s; %d of its newest transactions are gone, holding %s", how, dropped, s.position())
	if a := s.h.agent; a != nil {
		a.after(s.w.between(time.Millisecond, 5*time.Millisecond), func() { a.serverGone(cluster.ServerStopped) })
	}
	s.managed()
}

// keepTheOnlyCopies applies what no other member of the ack set holds.
func (s *server) keepTheOnlyCopies() {
	for i := len(s.replica.relay) - 1; i >= 0; i-- {
		if !s.w.heldByMember(s.replica.relay[i], s, s.replica.source) {
			for _, t := range s.replica.relay[:i+1] {
				s.append(t)
			}
			break
		}
	}
	s.replica.relay = nil
}

// truncate drops the end of the log as far as it wrote that itself in this life
// and another member of the ack set has it, or nobody was told that it is there.
func (s *server) truncate() int {
	n := len(s.log)
	for most := s.w.rng.IntN(6); most > 0 && n > s.recovered; most-- {
		t := s.log[n-1]
		told := t.write == nil || t.write.acked
		if t.server != s.id || told && !s.w.heldByMember(t, s, nil) {
			break
		}
		n--
	}
	dropped := len(s.log) - n
	s.log = slices.Clone(s.log[:n])
	s.executed, s.counted, s.last, s.marker = gtid.Set{}, 0, [8]uint64{}, 0
	for _, t := range s.log {
		s.marker = max(s.marker, t.marker)
	}
	return dropped
}

// heldByMember reports whether a member of the ack set other than those two has
// a transaction.
func (w *world) heldByMember(t txn, but *server, nor *host) bool {
	members := w.store.record.value.Acks().Members
	if len(members) == 0 {
		return false // what nobody acknowledged is committed for good before it is answered
	}
	for _, h := range w.nodes {
		if h.srv == nil || h.srv == but || h == nor || !slices.Contains(members, h.name) {
			continue
		}
		if has(h.srv.log, t) || has(h.srv.replica.relay, t) {
			return true
		}
	}
	return false
}

// has looks from the end, where what is looked for mostly is.
func has(log []txn, t txn) bool { return find(log, t) >= 0 }

func find(log []txn, t txn) int {
	for i := len(log) - 1; i >= 0; i-- {
		if log[i].is(t) {
			return i
		}
	}
	return -1
}

// set is what the server has executed.
func (s *server) set() gtid.Set {
	if s.counted == len(s.log) {
		return s.executed
	}
	for _, t := range s.log[s.counted:] {
		s.last[t.server] = max(s.last[t.server], t.seq)
	}
	s.counted = len(s.log)
	var b []byte
	for server, seq := range s.last {
		if seq == 0 {
			continue
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, "0-"...)
		b = append(strconv.AppendInt(b, int64(server), 10), '-')
		b = strconv.AppendUint(b, seq, 10)
	}
	s.executed = gtid.MustParse(string(b))
	return s.executed
}

func (s *server) position() string { return s.set().String() }

// append adds a transaction to the log.
func (s *server) append(t txn) int {
	s.log = append(s.log, t)
	s.marker = max(s.marker, t.marker)
	s.feed()
	return len(s.log) - 1
}

// commit carries out a transaction of this server's own. answer is told once
// that it is committed, if it ever is.
func (s *server) commit(write *write, marker cluster.Epoch, answer func(ok bool)) {
	var newest uint64
	s.set()
	for _, seq := range s.last {
		newest = max(newest, seq)
	}
	i := s.append(txn{server: s.id, seq: newest + 1, write: write, marker: marker})
	if s.semiSource {
		s.waiting = append(s.waiting, commit{i, answer})
		return
	}
	life := s.life
	s.w.after(s.w.between(200*time.Microsecond, 2*time.Millisecond), func() { answer(s.up && s.life == life && !s.hung && !s.stopping) })
}

// skipNumbers has the numbers go on far beyond all that this server may have given,
// with the marker of a reign.
func (s *server) skipNumbers(marker cluster.Epoch) {
	s.set()
	if s.w.stage.unmarked {
		marker = 0
	}
	s.append(txn{server: s.id, seq: slices.Max(s.last[:]) + skipped, marker: marker})
}

// skipped is how many numbers are left out.
const skipped = 1_000_000_000

// acknowledged releases the commits up to index.
func (s *server) acknowledged(index int) {
	for len(s.waiting) > 0 && s.waiting[0].index <= index {
		c := s.waiting[0]
		s.waiting = s.waiting[1:]
		c.answer(true)
	}
}

// setReadOnly turns read_only on or off. It hangs behind commits that wait.
func (s *server) setReadOnly(on bool, wait time.Duration, done func(error)) {
	if !on {
		s.readOnly = false
		s.trace("writable")
		s.w.checkHolds(s)
		done(nil)
		return
	}
	deadline, life := s.w.now+int64(wait), s.life
	var try func()
	try = func() {
		switch {
		case s.life != life || !s.answers():
			done(errServerDown)
		case len(s.waiting) == 0:
			s.locking, s.readOnly = false, true
			done(nil)
		case s.w.now >= deadline:
			s.locking = false
			done(errLockWait)
		default:
			s.locking = true
			s.w.after(5*time.Millisecond, try)
		}
	}
	try()
}

// setSemiSource switches waiting for acknowledgements. Off, those who wait are
// answered.
func (s *server) setSemiSource(on bool) {
	s.semiSource = on
	if !on {
		s.acknowledged(len(s.log))
		s.applyNext()
	}
}

// releaseWaiters kills the connections of those who wait.
func (s *server) releaseWaiters() {
	waiting := s.waiting
	s.waiting = nil
	for _, c := range waiting {
		c.answer(false)
	}
}

// fact is what a look at the server shows, and the tick of what it receives.
func (s *server) fact() (cluster.ServerFact, string) {
	r := &s.replica
	f := cluster.ServerFact{
		Start: fmt.Sprintf("%s/%d", s.h.name, s.life), Flavor: "mariadb", Version: "10.11.6-MariaDB", ID: s.id,
		ReadOnly: s.readOnly, BinLog: true, LogUpdates: true, Executed: s.set(), Marker: s.marker,
		SemiSrc: cluster.SemiSyncFact{Enabled: s.semiSource, Active: s.semiSource, Waiting: len(s.waiting), Clients: s.semiClients()},
	}
	f.Replica.SemiSync = r.semi || r.connected && r.acks
	if r.source != nil {
		f.Replica.Source = r.source.name
		f.Replica.Started, f.Replica.Receiver, f.Replica.Applier = r.started, r.connected, r.applier && r.problem == ""
		f.Replica.Received, f.Replica.Error = s.received(), r.problem
	}
	return f, strconv.Itoa(r.ticks)
}

func (s *server) semiClients() (n int) {
	for _, h := range s.w.nodes {
		if h.srv != nil && h.srv.replica.connected && h.srv.replica.source == s.h && h.srv.replica.acks {
			n++
		}
	}
	return n
}

func (s *server) trace(format string, args ...any) { s.w.trace(string(s.h.name), format, args...) }
