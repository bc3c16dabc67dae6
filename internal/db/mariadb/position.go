package mariadb

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db/wire"
)

// last is the newest transaction of one domain.
type last struct{ domain, server, seq uint64 }

func (p last) String() string { return fmt.Sprintf("%d-%d-%d", p.domain, p.server, p.seq) }

// newest returns the newest transaction of each domain in texts of positions
// and sets, the way gtid_slave_pos is written. Numbers grow along a domain
// whoever writes (gtid_strict_mode).
func newest(texts ...string) map[uint64]last {
	of := map[uint64]last{}
	for _, text := range texts {
		for element := range strings.SplitSeq(text, ",") {
			fields := strings.Split(strings.TrimSpace(element), "-")
			if len(fields) != 3 {
				continue
			}
			// Our own notation for what a subtraction leaves: 0-1-101..105.
			if i := strings.LastIndex(fields[2], ".."); i >= 0 {
				fields[2] = fields[2][i+2:]
			}
			p := last{wire.Number(fields[0]), wire.Number(fields[1]), wire.Number(fields[2])}
			if p.seq > of[p.domain].seq {
				of[p.domain] = p
			}
		}
	}
	return of
}

// write puts positions in the server's notation, in the order of domains.
func write(of map[uint64]last) string {
	var texts []string
	for _, domain := range slices.Sorted(maps.Keys(of)) {
		texts = append(texts, of[domain].String())
	}
	return strings.Join(texts, ",")
}

// waitFor is what gtid_slave_pos must have come to for everything in set to be
// applied by replication.
func waitFor(set gtid.Set) string { return write(newest(set.String())) }

// gtidInEvent finds the identifier in the description of a Gtid event.
var gtidInEvent = regexp.MustCompile(`GTID (\d+-\d+-\d+)`)

// oldestLogged knows the first transaction of each domain in the oldest binary
// log: what came later is all in gtid_binlog_state, which never shrinks but by
// RESET MASTER.
type oldestLogged struct {
	first   string // one GTID for each domain, as far as known
	asked   bool
	domains map[uint64]last // of the state when it was read
}

// refresh reads the oldest binary log anew if the state shows a domain that it
// did not show before, or is not what became of the one before.
func (o *oldestLogged) refresh(ctx context.Context, l *wire.Link, state string) error {
	domains := newest(state)
	fresh := len(domains) != len(o.domains) || !o.asked
	for domain, p := range domains {
		before, known := o.domains[domain]
		fresh = fresh || !known || p.seq < before.seq
	}
	if !fresh {
		o.domains = domains
		return nil
	}
	const enough = 200 // events; a domain that begins later is taken as unknown
	events, err := l.Query(ctx, fmt.Sprintf("SHOW BINLOG EVENTS LIMIT %d", enough))
	if err != nil && wire.Code(err) == 0 {
		return fmt.Errorf("read the oldest binary log: %w", err)
	}
	// An error that the server sent (no binary log, no privilege) leaves the
	// beginning unknown: a position then covers more, which is coarser and sound.
	first := map[uint64]last{}
	for _, e := range events {
		m := gtidInEvent.FindStringSubmatch(e["Info"])
		if e["Event_type"] != "Gtid" || m == nil {
			continue
		}
		for domain, p := range newest(m[1]) {
			if _, known := first[domain]; !known {
				first[domain] = p
			}
		}
	}
	o.first, o.asked, o.domains = write(first), true, domains
	return nil
}
