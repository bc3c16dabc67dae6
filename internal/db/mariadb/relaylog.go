package mariadb

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db/wire"
)

// What a replica has received is in its Gtid_IO_Pos, which counts complete
// transactions only. A server that was restarted has forgotten it, but not its
// relay log, which may hold transactions that it acknowledged: as long as no
// replication thread is started, they can be read there, and applied
// (apply.go).

// How many events of a relay log are read at once.
const (
	someRelayLog  = 2000 // while observing
	wholeRelayLog = 0    // no limit
)

// relayScan is how far the relay log of an idle replica has been read.
type relayScan struct {
	start string // the server's start identity
	from  place  // where its applier stands

	at     place // the next event to read
	after  bool  // the event at that place has been read
	open   found // began and has not ended yet; no id: none
	single bool  // the open transaction is one statement without a COMMIT
	found  []found
	ended  bool
}

// logStart is where the first event of a log is.
const logStart = 4

// place is a position in a relay log.
type place struct {
	file string
	pos  uint64
}

// found is one complete transaction in the relay log.
type found struct {
	id string
	at place // of its Gtid event
}

// received returns what a replica holds, and whether that is all: limit bounds
// the events that are read from the relay log of an idle replica; 0 does not.
func (s *Server) received(ctx context.Context, l *wire.Link, r replication, executed gtid.Set, limit int) (gtid.Set, bool, error) {
	if !r.Configured {
		return executed, true, nil
	}
	received, err := executed.Through(r.received)
	if err != nil {
		return gtid.Set{}, false, fmt.Errorf("read the received position: %w", err)
	}
	if r.received != "" || !r.ReceiverStopped() || r.relayFile == "" {
		return received, true, nil
	}
	// The server has forgotten what it received. Once its applier runs, what was
	// read before that tells what it is going to apply.
	scan, err := s.lastScan(ctx, l)
	if r.idle() && err == nil {
		scan, err = s.scanRelayLog(ctx, l, r, limit)
	}
	if err != nil {
		return gtid.Set{}, false, err
	}
	var ids []string
	for _, f := range scan.found {
		ids = append(ids, f.id)
	}
	received, err = executed.Through(write(newest(ids...)))
	if err != nil {
		return gtid.Set{}, false, fmt.Errorf("read the relay log: %w", err)
	}
	return received, scan.ended, nil
}

// lastScan returns what was last read in this life of the server.
func (s *Server) lastScan(ctx context.Context, l *wire.Link) (relayScan, error) {
	id, err := s.IdentityOf(ctx, l)
	if err != nil {
		return relayScan{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay.start != id.Start {
		return relayScan{start: id.Start, ended: true}, nil
	}
	scan := s.relay
	scan.found = slices.Clone(scan.found) // two callers may read on from here
	return scan, nil
}

// scanRelayLog reads on in the relay log of an idle replica.
func (s *Server) scanRelayLog(ctx context.Context, l *wire.Link, r replication, limit int) (relayScan, error) {
	scan, err := s.lastScan(ctx, l)
	if err != nil {
		return relayScan{}, err
	}
	if from := (place{r.relayFile, r.relayPos}); scan.from != from {
		scan = relayScan{start: scan.start, from: from, at: from}
	}
	for read := 0; !scan.ended && (limit == 0 || read < limit); {
		n, err := scan.step(ctx, l)
		if err != nil {
			return relayScan{}, err
		}
		read += n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relay = scan
	return scan, nil
}

// step reads one portion of events.
func (c *relayScan) step(ctx context.Context, l *wire.Link) (n int, err error) {
	const portion = 1000
	events, err := l.Query(ctx, fmt.Sprintf("SHOW RELAYLOG EVENTS IN %s FROM %d LIMIT %d", wire.Quote(c.at.file), c.at.pos, portion+1))
	torn := false
	if err != nil {
		if wire.Code(err) != wire.ErNoSuchSlaveLog {
			return 0, fmt.Errorf("read the relay log %s from %d: %w", c.at.file, c.at.pos, err)
		}
		// No such file, or an event that a crash tore: what came before it in
		// this answer counts, and only that.
		torn = true
	}
	whole := len(events)
	if c.after && len(events) > 0 {
		events = events[1:]
	}
	for _, e := range events {
		c.event(e)
	}
	if torn || whole <= portion {
		c.nextFile(torn && whole == 0 && c.at.pos == logStart)
	}
	return len(events), nil
}

// nextFile goes on to the file that follows; the log ends before one that is
// missing.
func (c *relayScan) nextFile(missing bool) {
	if missing {
		c.ended = true
		return
	}
	c.open = found{} // a transaction that a restart tore is not continued in the next file
	c.at, c.after = place{successor(c.at.file), logStart}, false
}

// successor returns the name of the relay log that follows: db1-relay-bin.000007
// after db1-relay-bin.000006.
func successor(file string) string {
	i := strings.LastIndexByte(file, '.')
	n, err := strconv.ParseUint(file[i+1:], 10, 64)
	if err != nil {
		return file + ".end"
	}
	return fmt.Sprintf("%s.%06d", file[:max(i, 0)], n+1)
}

// event takes one event into account.
func (c *relayScan) event(e map[string]string) {
	at := place{e["Log_name"], wire.Number(e["Pos"])}
	c.at, c.after = at, true
	kind, text := e["Event_type"], e["Info"]
	switch {
	case kind == "Gtid":
		if m := gtidInEvent.FindStringSubmatch(text); m != nil {
			c.open, c.single = found{m[1], at}, !strings.HasPrefix(text, "BEGIN ")
		}
	case c.open.id == "":
	case kind == "Xid", kind == "XA_prepare",
		strings.HasPrefix(kind, "Query") && (c.single || text == "COMMIT" || text == "ROLLBACK"):
		c.found = append(c.found, c.open)
		c.open = found{}
	}
}

// firstBeyond returns the place of the first complete transaction that is not
// among those up to pos. relay-log.info, from where the server would go on, may
// be older than the data after a crash.
func (c relayScan) firstBeyond(pos string) (place, bool) {
	applied := newest(pos)
	for _, f := range c.found {
		for domain, p := range newest(f.id) {
			if p.seq > applied[domain].seq {
				return f.at, true
			}
		}
	}
	return place{}, false
}
