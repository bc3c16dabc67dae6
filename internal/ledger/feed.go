package ledger

import (
	"slices"
	"sync"

	"github.com/baton-db/baton/internal/core/cluster"
)

// feedLooks is how many looks a reader may be behind before it is told all anew.
const feedLooks = 16

// Feed is a table that is being looked after, and what its readers are told of it.
// A slow reader never slows the looking.
type Feed struct {
	mu      sync.Mutex
	table   *Table
	beyond  int
	at      cluster.Instant // when the newest look began
	looks   uint64          // how many there were
	changes []Change        // of the newest looks
	news    chan struct{}   // closed by the next look, and by Close
	closed  bool
}

// NewFeed returns a feed of up to so many connections that has seen nothing yet.
func NewFeed(limit int) *Feed { return &Feed{table: NewTable(limit), news: make(chan struct{})} }

// Look has look tell everything that there is now. If it fails, nothing has been
// seen: what was known stays. Readers wait for it meanwhile.
func (f *Feed) Look(at cluster.Instant, look func(saw func(Connection)) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.table.Look(at)
	if err := look(l.Saw); err != nil {
		l.forget()
		return err
	}
	c := l.End()
	f.at, f.beyond = at, c.Beyond
	f.looks++
	f.keep(c)
	f.wake()
	return nil
}

// keep keeps a change for the readers that are a little behind. Together the kept
// ones are no bigger than the table may be.
func (f *Feed) keep(c Change) {
	f.changes = append(f.changes, c)
	size := 0
	for i := len(f.changes) - 1; i >= 0; i-- {
		size += len(f.changes[i].Added) + len(f.changes[i].Gone)
		if len(f.changes)-i > feedLooks || size > f.table.limit {
			f.changes = slices.Delete(f.changes, 0, i+1)
			return
		}
	}
}

func (f *Feed) wake() {
	close(f.news)
	f.news = make(chan struct{})
}

// Close tells the readers that there is no more to come.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wake()
}

// After returns what came after the look of that number (0: everything), as it is at
// now, the newest look's number, and what to wait for if there is nothing. open is
// false once no more is to come.
func (f *Feed) After(look uint64, now cluster.Instant) (frames []Frame, newest uint64, news <-chan struct{}, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch missed := f.looks - look; {
	case f.looks == 0 || missed == 0:
	case look == 0 || missed > uint64(len(f.changes)):
		frames = Frames(true, Change{Added: f.table.Entries(), Beyond: f.beyond}, now)
	default:
		for _, c := range f.changes[len(f.changes)-int(missed):] {
			frames = append(frames, Frames(false, c, now)...)
		}
	}
	return frames, f.looks, f.news, !f.closed
}

// Beyond is how many connections the newest look left out because the table is full.
func (f *Feed) Beyond() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.beyond
}

// A State is a ledger as it stands.
type State struct {
	Entries []Entry
	Beyond  int             // connections that were left out because the table is full
	At      cluster.Instant // when it was so; 0: nothing has been seen yet
}

// State returns what is known now.
func (f *Feed) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return State{Entries: f.table.Entries(), Beyond: f.beyond, At: f.at}
}

// Copy is what another node has told of its connections. It is no older than what
// came last, and never a half of it: a new whole one takes the place of the old one
// when it is complete. One goroutine at a time may use it.
type Copy struct {
	table  *Table
	next   *Table // a whole one that is coming in
	limit  int
	beyond int // as it was told
	over   int // of those told, how many this copy has no room for
	at     cluster.Instant
}

// NewCopy returns a copy of up to so many connections.
func NewCopy(limit int) *Copy { return &Copy{limit: limit, table: NewTable(limit)} }

// Apply takes in a frame that came at now.
func (c *Copy) Apply(f Frame, now cluster.Instant) {
	if f.Whole {
		c.next, c.over = NewTable(c.limit), 0
	}
	t := c.table
	if c.next != nil {
		t = c.next
	}
	for _, g := range f.Gone {
		t.remove(pack(g))
	}
	for _, a := range f.Added {
		if !t.put(pack(a.Connection), now.Add(-a.Age)) {
			c.over++
		}
	}
	c.beyond = f.Beyond
	if f.More {
		return
	}
	if c.next != nil {
		c.table, c.next = c.next, nil
	}
	c.at = now
}

// State returns what is known.
func (c *Copy) State() State {
	return State{Entries: c.table.Entries(), Beyond: c.beyond + c.over, At: c.at}
}
