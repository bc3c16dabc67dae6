package load

import (
	"slices"
	"sync"
	"time"
)

// An Ack is one write that a server acknowledged. Times are counted from the
// journal's start, on this process's monotonic clock.
type Ack struct {
	ID     uint64        `json:"id"`
	Worker int           `json:"worker"`
	Server uint32        `json:"server"` // server_id of the one that acknowledged
	Sent   time.Duration `json:"sent"`   // nanoseconds
	Acked  time.Duration `json:"acked"`  // nanoseconds
}

// A Connect is one attempt to connect, log in included.
type Connect struct {
	Began time.Duration // from the journal's start
	Took  time.Duration
	Plain bool // by a client without a time limit of its own
	Class Class
}

// A Failure is a statement that was not acknowledged. Whether it took effect
// is unknown.
type Failure struct {
	At    time.Duration
	Class Class
}

// An Idle is one connection that was opened and left alone.
type Idle struct {
	Opened time.Duration
	Ended  time.Duration // when the client learnt of its end; 0: it never did
}

// A Journal is everything that the clients saw.
type Journal struct {
	Run      uint64    // tells the rows of this run from those of others
	Start    time.Time // with its monotonic reading
	Length   time.Duration
	Acks     []Ack
	Connects []Connect
	Failures []Failure
	Idle     []Idle
}

// recorder collects a journal from many goroutines.
type recorder struct {
	mu      sync.Mutex
	journal Journal
	grown   chan struct{} // closed and replaced with every ack
}

func newRecorder(run uint64) *recorder {
	return &recorder{journal: Journal{Run: run, Start: time.Now()}, grown: make(chan struct{})}
}

func (r *recorder) now() time.Duration { return time.Since(r.journal.Start) }

func (r *recorder) ack(a Ack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal.Acks = append(r.journal.Acks, a)
	close(r.grown)
	r.grown = make(chan struct{})
}

func (r *recorder) connect(c Connect) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal.Connects = append(r.journal.Connects, c)
}

func (r *recorder) failure(f Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal.Failures = append(r.journal.Failures, f)
}

func (r *recorder) idle(i Idle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal.Idle = append(r.journal.Idle, i)
}

// snapshot returns what there is so far, acks in the order of their arrival,
// and a channel that is closed when there are more.
func (r *recorder) snapshot() (Journal, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.journal
	j.Length = r.now()
	j.Acks = slices.Clone(j.Acks)
	j.Connects = slices.Clone(j.Connects)
	j.Failures = slices.Clone(j.Failures)
	j.Idle = slices.Clone(j.Idle)
	return j, r.grown
}

// tail returns the acks from the given one on, and a channel that is closed
// when there are more.
func (r *recorder) tail(from int) ([]Ack, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.journal.Acks[min(from, len(r.journal.Acks)):]), r.grown
}
