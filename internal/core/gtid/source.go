package gtid

import (
	"cmp"
	"encoding/hex"
	"strconv"
	"strings"
)

type kind uint8

const (
	mysql kind = iota + 1
	mariadb
)

// source is whose numbers a range belongs to.
type source struct {
	kind kind

	uuid [16]byte // MySQL
	tag  string   // MySQL since 8.3; lower case

	domain uint32 // MariaDB
	any    bool   // MariaDB: covers every server of the domain
	server uint32 // MariaDB
}

// covering returns the source that stands for every server of a domain.
func covering(domain uint32) source { return source{kind: mariadb, domain: domain, any: true} }

// covers reports whether the source only covers and names no transaction.
func (f source) covers() bool { return f.any }

func (f source) compare(o source) int {
	if f.kind != o.kind {
		return cmp.Compare(f.kind, o.kind)
	}
	if f.kind == mysql {
		return cmp.Or(strings.Compare(string(f.uuid[:]), string(o.uuid[:])), strings.Compare(f.tag, o.tag))
	}
	if c := cmp.Compare(f.domain, o.domain); c != 0 {
		return c
	}
	switch {
	case f.any == o.any:
		return cmp.Compare(f.server, o.server)
	case f.any:
		return -1
	}
	return 1
}

// String writes the set as servers do, in canonical order and without white
// space; what servers cannot write, in the notation of the package comment.
func (s Set) String() string {
	var b []byte
	for i, e := range s.entries {
		if e.from.kind == mariadb {
			b = appendMariaDB(b, e)
			continue
		}
		// One UUID with several tags is written once: uuid:1-5:tag:1-3.
		if i > 0 && s.entries[i-1].from.kind == mysql && s.entries[i-1].from.uuid == e.from.uuid {
			b = append(b, ':')
		} else {
			b = appendComma(b)
			b = append(appendUUID(b, e.from.uuid), ':')
		}
		b = appendMySQL(b, e)
	}
	return string(b)
}

func appendComma(b []byte) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	return b
}

func appendUUID(b []byte, u [16]byte) []byte {
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return b
}

func appendMySQL(b []byte, e entry) []byte {
	if e.from.tag != "" {
		b = append(append(b, e.from.tag...), ':')
	}
	for i, r := range e.have {
		if i > 0 {
			b = append(b, ':')
		}
		b = strconv.AppendUint(b, r.first, 10)
		if r.last > r.first {
			b = strconv.AppendUint(append(b, '-'), r.last, 10)
		}
	}
	return b
}

func appendMariaDB(b []byte, e entry) []byte {
	for _, r := range e.have {
		b = appendComma(b)
		b = append(strconv.AppendUint(b, uint64(e.from.domain), 10), '-')
		if e.from.any {
			b = append(b, '*')
		} else {
			b = strconv.AppendUint(b, uint64(e.from.server), 10)
		}
		b = append(b, '-')
		if r.first > 1 {
			b = append(strconv.AppendUint(b, r.first, 10), ".."...)
		}
		b = strconv.AppendUint(b, r.last, 10)
	}
	return b
}

// MarshalText writes the set as String does.
func (s Set) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a set as Parse does.
func (s *Set) UnmarshalText(text []byte) error {
	set, err := Parse(string(text))
	if err != nil {
		return err
	}
	*s = set
	return nil
}
