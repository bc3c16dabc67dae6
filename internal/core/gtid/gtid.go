// Package gtid answers which transactions a server has: sets of global
// transaction identifiers, of MySQL's kind and of MariaDB's.
//
// It never compares servers by counting, and never asks one. The one rule: a
// Set is a value that no method changes, so two of them never share a change.
//
// # MySQL
//
// A set names every transaction: source:1-5:7, with the source a UUID and,
// since MySQL 8.3, perhaps a tag (MySQL 8.4 manual, 19.1.3.1 "GTID Format and
// Storage"). Contains, Subtract and Count are exact.
//
// # MariaDB
//
// A GTID is domain-server-sequence. gtid_binlog_state lists, for each domain
// and server, the last sequence number that this server wrote to its own
// binary log. In a Set, 0-1-100 therefore stands for all transactions of server
// 1 in domain 0 up to number 100. Not every number in between need exist, so
// counts are upper bounds. What a subtraction leaves is written 0-1-101..105.
//
// gtid_slave_pos and Gtid_IO_Pos are something else: the last transaction of
// each domain. Numbers grow along a domain whoever writes (gtid_strict_mode),
// so having come to 0-1-100 means having everything of domain 0 up to 100, of
// whatever server, without knowing which there were. A Set writes that as
// 0-*-100, "covers domain 0 up to 100". A server provisioned from a backup has
// nothing else to show for what came with the backup.
//
// Covering is one-sided. It answers "has this server got 0-2-60?" with yes, but
// it claims no transaction that another server could be lacking:
//
//	0-*-100 contains 0-2-60         it came with the backup
//	0-2-60 contains 0-*-100         nothing is named that could be missing
//	0-*-100 minus 0-2-60 is empty   likewise
//
// So a server that knows its past only as a position seems neither to lack
// what it has nor to have what others lack. The price: among sets that cover,
// Contains is not transitive, and a stray transaction numbered within the
// covered part goes unnoticed. Keep that part small: see ParseExecuted.
package gtid

import "slices"

// Set is a set of transactions. The zero value is the empty set. A Set may be
// copied freely; it is compared by Equal.
type Set struct {
	// Sorted by source, no source twice, no empty ranges. Never modified once
	// the Set is made: results share these slices.
	entries []entry
}

// entry holds what a set has of one source.
type entry struct {
	from source
	have ranges
}

// IsZero reports whether the set is empty: it names no transaction and covers
// no domain. The json option omitzero uses it.
func (s Set) IsZero() bool { return len(s.entries) == 0 }

// Equal reports whether both sets are written the same.
func (s Set) Equal(o Set) bool {
	return slices.EqualFunc(s.entries, o.entries, func(a, b entry) bool {
		return a.from == b.from && slices.Equal(a.have, b.have)
	})
}

// Contains reports whether s has every transaction that o names. What o merely
// covers (0-*-100) names none.
func (s Set) Contains(o Set) bool {
	for _, e := range o.entries {
		if e.from.covers() {
			continue
		}
		if len(s.lacking(e)) > 0 {
			return false
		}
	}
	return true
}

// Union returns what either set has or covers.
func (s Set) Union(o Set) Set {
	switch {
	case s.IsZero():
		return o
	case o.IsZero():
		return s
	}
	a, b := s.entries, o.entries
	merged := make([]entry, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].from.compare(b[0].from); {
		case c < 0:
			merged, a = append(merged, a[0]), a[1:]
		case c > 0:
			merged, b = append(merged, b[0]), b[1:]
		default:
			merged = append(merged, entry{a[0].from, a[0].have.union(b[0].have)})
			a, b = a[1:], b[1:]
		}
	}
	return Set{append(append(merged, a...), b...)}
}

// Subtract returns the transactions that s names and o has not. The result
// covers nothing, so it is empty exactly if o contains s.
func (s Set) Subtract(o Set) Set {
	var left []entry
	for _, e := range s.entries {
		if e.from.covers() {
			continue
		}
		if have := o.lacking(e); len(have) > 0 {
			left = append(left, entry{e.from, have})
		}
	}
	return Set{left}
}

// Count returns how many transactions the set names, at most the greatest
// uint64. It is exact for MySQL and an upper bound for MariaDB, where
// 0-1-100 may stand for fewer than a hundred transactions and 0-*-100 counts
// as none. It is for people and for ordering by size, never for comparing what
// two servers have.
func (s Set) Count() uint64 {
	var n uint64
	for _, e := range s.entries {
		if e.from.covers() {
			continue
		}
		for _, r := range e.have {
			// r.size() is at most the greatest uint64, as numbers begin at 1.
			if n+r.size() < n {
				return ^uint64(0)
			}
			n += r.size()
		}
	}
	return n
}

// lacking returns what is in e and not in s.
func (s Set) lacking(e entry) ranges {
	left := e.have.subtract(s.of(e.from))
	if e.from.kind == mariadb && len(left) > 0 {
		left = left.subtract(s.of(covering(e.from.domain)))
	}
	return left
}

// of returns what s has of one source.
func (s Set) of(from source) ranges {
	i, found := slices.BinarySearchFunc(s.entries, from, func(e entry, f source) int { return e.from.compare(f) })
	if !found {
		return nil
	}
	return s.entries[i].have
}

// OfServer returns what a set names of one MariaDB server, in all domains. Of a
// MySQL set that is nothing: its sources are no server ids.
func (s Set) OfServer(id uint32) Set {
	var of Set
	for _, e := range s.entries {
		if e.from.kind == mariadb && !e.from.covers() && e.from.server == id {
			of.entries = append(of.entries, e)
		}
	}
	return of
}
