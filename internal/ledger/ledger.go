// Package ledger answers which clients were connected to the primary, for the node
// that takes over from it: their connections end with a host that cannot tell them.
//
// The primary looks at its sockets again and again (Table.Look), tells the other
// nodes all of them once and then what changed (Feed, Frame), and each of those
// keeps a copy (Copy). The package reads no socket and no clock, and nothing of it
// goes into the store. The rule that must not be broken: its memory is bounded by
// the limit that it was given, whatever the kernel or another node says. Beyond
// that the newest connections are left out, and it says how many.
//
// A ledger is never proof that a connection exists, nor that it does not: it was so
// when the primary looked last.
package ledger

import (
	"encoding/binary"
	"net/netip"

	"github.com/baton-db/baton/internal/core/cluster"
)

// A Connection is one TCP connection of a client.
type Connection struct {
	Local, Remote netip.AddrPort // the service address, and the client
}

// An Entry is a connection and since when it has been known.
type Entry struct {
	Connection
	Since cluster.Instant // by the clock of this host
}

// packed is a Connection without pointers, so that a big table costs the garbage
// collector nothing. IPv4 addresses are v4-mapped.
type packed [36]byte

func pack(c Connection) (p packed) {
	local, remote := c.Local.Addr().As16(), c.Remote.Addr().As16()
	copy(p[:], local[:])
	copy(p[16:], remote[:])
	binary.BigEndian.PutUint16(p[32:], c.Local.Port())
	binary.BigEndian.PutUint16(p[34:], c.Remote.Port())
	return p
}

func (p packed) connection() Connection {
	at := func(a, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[a:a+16])).Unmap(), binary.BigEndian.Uint16(p[port:]))
	}
	return Connection{Local: at(0, 32), Remote: at(16, 34)}
}

// Table is the connections of one host, no more than its limit.
type Table struct {
	limit int
	index map[packed]int32 // of rows
	rows  []row
	look  uint32
}

type row struct {
	packed
	look  uint32 // the one that saw it last
	since cluster.Instant
}

// NewTable returns a table for so many connections.
func NewTable(limit int) *Table { return &Table{limit: limit, index: map[packed]int32{}} }

// Len is how many connections are known.
func (t *Table) Len() int { return len(t.rows) }

// Entries returns all of them, in no order.
func (t *Table) Entries() []Entry {
	all := make([]Entry, len(t.rows))
	for i, r := range t.rows {
		all[i] = r.entry()
	}
	return all
}

func (r row) entry() Entry { return Entry{Connection: r.connection(), Since: r.since} }

// put adds a connection, unless the table is full.
func (t *Table) put(p packed, since cluster.Instant) bool {
	if i, known := t.index[p]; known {
		t.rows[i].since = since
		return true
	}
	if len(t.rows) >= t.limit {
		return false
	}
	t.index[p] = int32(len(t.rows))
	t.rows = append(t.rows, row{packed: p, look: t.look, since: since})
	return true
}

func (t *Table) remove(p packed) {
	if i, known := t.index[p]; known {
		t.removeAt(int(i))
	}
}

// removeAt fills the gap with the last row.
func (t *Table) removeAt(i int) {
	delete(t.index, t.rows[i].packed)
	last := len(t.rows) - 1
	if i != last {
		t.rows[i] = t.rows[last]
		t.index[t.rows[i].packed] = int32(i)
	}
	t.rows = t.rows[:last]
}

// A Change is what one look found to be otherwise than the one before.
type Change struct {
	Added  []Entry
	Gone   []Connection
	Beyond int // connections that were left out because the table is full
}

// A Look is one look at all sockets, under way.
type Look struct {
	t      *Table
	at     cluster.Instant
	change Change
}

// Look begins to look at all sockets anew. Saw has to be told each, then End.
func (t *Table) Look(at cluster.Instant) *Look {
	t.look++
	return &Look{t: t, at: at}
}

// Saw notes that a connection is there.
func (l *Look) Saw(c Connection) {
	p := pack(c)
	if i, known := l.t.index[p]; known {
		l.t.rows[i].look = l.t.look
		return
	}
	if !l.t.put(p, l.at) {
		l.change.Beyond++
		return
	}
	l.change.Added = append(l.change.Added, Entry{Connection: p.connection(), Since: l.at})
}

// forget takes back what a look that failed has added.
func (l *Look) forget() {
	for _, e := range l.change.Added {
		l.t.remove(pack(e.Connection))
	}
}

// End forgets what was not seen any more and says what is otherwise now.
func (l *Look) End() Change {
	for i := 0; i < len(l.t.rows); {
		if r := l.t.rows[i]; r.look != l.t.look {
			l.change.Gone = append(l.change.Gone, r.connection())
			l.t.removeAt(i)
			continue
		}
		i++
	}
	return l.change
}
