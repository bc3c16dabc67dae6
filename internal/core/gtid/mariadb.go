package gtid

import "fmt"

// ParsePosition reads a position of MariaDB, as gtid_slave_pos, gtid_current_pos
// and Gtid_IO_Pos print it: the last transaction of each domain. The set names
// that transaction and all of its server before it, and covers the domain up to
// it. Text of MySQL's kind is read as Parse does: its positions are sets.
//
// Only a position that was reached by replication covers: that of a primary
// that wrote on its own (gtid_binlog_pos, gtid_current_pos) says nothing of
// other servers' transactions with smaller numbers.
func ParsePosition(text string) (Set, error) {
	return parsePosition(text, func(uint32) uint64 { return 0 })
}

// parsePosition reads a position that was reached from after(domain) on, which
// is the greatest number that was there before; nothing up to it is covered.
func parsePosition(text string, after func(domain uint32) uint64) (Set, error) {
	b := builder{text: text}
	seen := map[uint32]bool{}
	for at, element := range elements(text) {
		if !isMariaDB(element) {
			if err := b.element(at, element); err != nil {
				return Set{}, err
			}
			continue
		}
		g, err := b.gtid(at, element, false)
		if err != nil {
			return Set{}, err
		}
		domain := g.from.domain
		if seen[domain] {
			return Set{}, b.wrong(at, element,
				fmt.Sprintf("one GTID for domain %d: a position names only the last of each domain", domain))
		}
		seen[domain] = true
		if reached := g.have.last; reached > after(domain) {
			news := span{after(domain) + 1, reached}
			b.add(g.from, news)
			b.add(covering(domain), news)
		}
	}
	return b.set(), nil
}

// isMariaDB tells 0-1-100 from a MySQL element, which has a colon or a UUID.
func isMariaDB(element string) bool {
	hyphens := 0
	for _, c := range []byte(element) {
		switch c {
		case '-':
			hyphens++
		case ':':
			return false
		}
	}
	return hyphens == 2
}

// Through returns what a server holds that had s and has since received
// everything up to position (MariaDB: Gtid_IO_Pos; MySQL: Retrieved_Gtid_Set).
// Of each domain it covers only what lies after s, so that a stray transaction
// with a number that s had already passed is still noticed.
func (s Set) Through(position string) (Set, error) {
	received, err := parsePosition(position, s.reached)
	if err != nil {
		return Set{}, err
	}
	return s.Union(received), nil
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
