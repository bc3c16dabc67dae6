package gtid

import (
	"fmt"
	"slices"
	"strings"
)

// StateAt returns the binary-log state (gtid_binlog_state) that a server of
// MariaDB had when the last transaction in its binary log was that of position:
// that is what a copy of it has to be told, for the copy comes without the log.
// before and after are the states that were read before the copy and after it.
//
// What some server wrote last before the position is what it has written in all
// by now, if that is less than the position; if it is more, what it had written
// before the copy began. The position's own server comes last of its domain, as
// MariaDB wants it.
func StateAt(before, after, position string) (string, error) {
	point, err := positions(position)
	if err != nil {
		return "", fmt.Errorf("position: %w", err)
	}
	was, _, err := logged(before)
	if err != nil {
		return "", fmt.Errorf("state before: %w", err)
	}
	is, order, err := logged(after)
	if err != nil {
		return "", fmt.Errorf("state after: %w", err)
	}
	for from, seq := range was {
		if is[from] < seq {
			return "", fmt.Errorf("the binary log was begun anew meanwhile: %d-%d-%d is not in it any more", from.domain, from.server, seq)
		}
	}
	for domain, p := range point {
		if is[p.from] < p.seq {
			return "", fmt.Errorf("position %s: the binary log does not have domain %d up to there", position, domain)
		}
	}
	slices.SortFunc(order, source.compare)
	var state, last []string
	for _, from := range order {
		p, written := point[from.domain]
		seq := is[from]
		switch {
		case written && from == p.from:
			last = append(last, fmt.Sprintf("%d-%d-%d", from.domain, from.server, p.seq))
			continue
		case !written || seq > p.seq:
			seq = was[from]
		}
		if seq > 0 {
			state = append(state, fmt.Sprintf("%d-%d-%d", from.domain, from.server, seq))
		}
	}
	return strings.Join(append(state, last...), ","), nil
}

// logged reads a binary-log state: the last number of each server in each
// domain, and who is in it.
func logged(text string) (map[source]uint64, []source, error) {
	b := builder{text: text}
	seqs := map[source]uint64{}
	var order []source
	for at, element := range elements(text) {
		g, err := b.plain(at, element)
		if err != nil {
			return nil, nil, err
		}
		if _, twice := seqs[g.from]; twice {
			return nil, nil, b.wrong(at, element, "each server of a domain once")
		}
		seqs[g.from] = g.seq
		order = append(order, g.from)
	}
	return seqs, order, nil
}
