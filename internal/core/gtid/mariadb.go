package gtid

import (
	"fmt"
	"math"
	"strings"
)

// ParseExecuted returns what a server of MariaDB has applied, from its
// gtid_binlog_state and gtid_slave_pos.
//
// oldestLogged may hold the first GTID of each domain in the server's oldest
// binary log. What came after is all in the binary-log state, so the position
// then covers only what lies before, and a stray transaction of later times is
// noticed. Without it the position covers everything up to itself.
func ParseExecuted(binlogState, slavePos, oldestLogged string) (Set, error) {
	state, err := Parse(binlogState)
	if err != nil {
		return Set{}, fmt.Errorf("gtid_binlog_state: %w", err)
	}
	oldest, err := positions(oldestLogged)
	if err != nil {
		return Set{}, fmt.Errorf("oldest logged: %w", err)
	}
	reached, err := positions(slavePos)
	if err != nil {
		return Set{}, fmt.Errorf("gtid_slave_pos: %w", err)
	}
	b := builder{text: slavePos}
	for domain, g := range reached {
		b.add(g.from, span{1, g.seq})
		covered := g.seq
		if first, logged := oldest[domain]; logged {
			covered = min(covered, first.seq-1)
		}
		if covered > 0 {
			b.add(covering(domain), span{1, covered})
		}
	}
	return state.Union(b.set()), nil
}

// Through returns what a server holds that had s and has since received
// everything up to position: Gtid_IO_Pos of MariaDB, where s is what was
// executed when the receiver started, or Retrieved_Gtid_Set of MySQL. Of each
// domain it covers only what lies after s, so that a stray transaction whose
// number s had already passed is still noticed.
func (s Set) Through(position string) (Set, error) {
	received, err := s.through(position)
	if err != nil {
		return Set{}, err
	}
	return s.Union(received), nil
}

// Named returns s without what it merely covers.
func (s Set) Named() Set {
	var named []entry
	for _, e := range s.entries {
		if !e.from.covers() {
			named = append(named, e)
		}
	}
	return Set{named}
}

// CoversBeyond reports whether s covers numbers that by does not reach: some
// server holds those, and which servers' they are is not known yet.
func (s Set) CoversBeyond(by Set) bool {
	for _, e := range s.entries {
		if e.from.covers() && e.have[len(e.have)-1].last > by.reached(e.from.domain) {
			return true
		}
	}
	return false
}

// Covering returns s, covering each domain of MariaDB up to the greatest number
// that past has in it: for one who knows that all of past is common history.
func (s Set) Covering(past Set) Set {
	b := builder{}
	for _, e := range past.entries {
		if e.from.kind == mariadb {
			b.add(covering(e.from.domain), span{1, past.reached(e.from.domain)})
		}
	}
	return s.Union(b.set())
}

// through returns what a position names, and covers what lies after s. It names
// all of that server, as a binary-log state with that GTID in it does.
func (s Set) through(position string) (Set, error) {
	if !isMariaDB(position) {
		return Parse(position)
	}
	reached, err := positions(position)
	if err != nil {
		return Set{}, err
	}
	b := builder{text: position}
	for domain, g := range reached {
		b.add(g.from, span{1, g.seq})
		if after := s.reached(domain); after < g.seq {
			b.add(covering(domain), span{after + 1, g.seq})
		}
	}
	return b.set(), nil
}

// reached returns the greatest number that s has in a domain of MariaDB.
func (s Set) reached(domain uint32) uint64 {
	var n uint64
	for _, e := range s.entries {
		if e.from.kind == mariadb && e.from.domain == domain {
			n = max(n, e.have[len(e.have)-1].last)
		}
	}
	return n
}

// ParseTransaction reads the identifier of one transaction, as an event of a
// binary log carries it, and returns the set of that transaction alone. The
// text 0-1-100, which stands for many in a binary-log state, is one here.
func ParseTransaction(text string) (Set, error) {
	at, id := trim(0, text)
	b := builder{text: text}
	if !isMariaDB(id) {
		s, err := Parse(text)
		if err == nil && s.Count() != 1 {
			err = b.wrong(at, id, "one transaction such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:5 or 0-1-100")
		}
		if err != nil {
			return Set{}, err
		}
		return s, nil
	}
	g, err := b.plain(at, id)
	if err != nil {
		return Set{}, err
	}
	if g.seq == 0 {
		return Set{}, b.wrong(at, id, "a sequence number from 1 on")
	}
	b.add(g.from, span{g.seq, g.seq})
	return b.set(), nil
}

// transaction is one GTID of MariaDB.
type transaction struct {
	from source
	seq  uint64
}

// positions reads one GTID for each domain. Number 0, which stands for no
// transaction yet, is left out.
func positions(text string) (map[uint32]transaction, error) {
	b := builder{text: text}
	reached, seen := map[uint32]transaction{}, map[uint32]bool{}
	for at, element := range elements(text) {
		g, err := b.plain(at, element)
		if err != nil {
			return nil, err
		}
		domain := g.from.domain
		if seen[domain] {
			return nil, b.wrong(at, element, fmt.Sprintf("one GTID for domain %d: a position names the last of each domain", domain))
		}
		seen[domain] = true
		if g.seq > 0 {
			reached[domain] = g
		}
	}
	return reached, nil
}

// isMariaDB tells 0-1-100 from a UUID and its intervals.
func isMariaDB(text string) bool { return !strings.Contains(text, ":") && strings.Contains(text, "-") }

// mariadb reads what may stand in a set: 0-1-100, and in our own notation
// 0-1-101..105 and 0-*-100. The caller has seen that there are two hyphens.
func (b *builder) mariadb(at int, s string) error {
	fields := strings.Split(s, "-")
	everyone := fields[1] == "*"
	if everyone {
		fields[1] = "0"
	}
	lo, hi, isRange := strings.Cut(fields[2], "..")
	if isRange {
		fields[2] = hi
	}
	g, want := parsePlain(fields)
	if want != "" {
		return b.wrong(at, s, want)
	}
	if everyone {
		g.from = covering(g.from.domain)
	}
	first := uint64(1)
	if isRange {
		var ok bool
		if first, ok = parseNumber(lo, g.seq); !ok || first == 0 {
			return b.wrong(at, s, "a range such as 0-1-101..105 that begins at 1 or later and does not end before it begins")
		}
	}
	if g.seq > 0 { // 0-1-0 stands for no transaction yet
		b.add(g.from, span{first, g.seq})
	}
	return nil
}

// plain reads a GTID as MariaDB writes it: 0-1-100.
func (b *builder) plain(at int, s string) (transaction, error) {
	g, want := parsePlain(strings.Split(s, "-"))
	if want != "" {
		return transaction{}, b.wrong(at, s, want)
	}
	return g, nil
}

// parsePlain reads domain, server and sequence number. If it cannot, it says
// what it wants.
func parsePlain(fields []string) (g transaction, want string) {
	if len(fields) != 3 {
		return g, "a MariaDB GTID such as 0-1-100 (domain, server, sequence number)"
	}
	domain, ok := parseNumber(fields[0], math.MaxUint32)
	if !ok {
		return g, "a domain from 0 to 4294967295 before the first hyphen"
	}
	server, ok := parseNumber(fields[1], math.MaxUint32)
	if !ok {
		return g, "a server id from 0 to 4294967295 between the hyphens"
	}
	seq, ok := parseNumber(fields[2], math.MaxUint64)
	if !ok {
		return g, "a sequence number from 0 to 18446744073709551615 after the second hyphen"
	}
	return transaction{source{kind: mariadb, domain: uint32(domain), server: uint32(server)}, seq}, ""
}
