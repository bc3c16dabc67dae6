package load

import (
	"cmp"
	"slices"
	"time"
)

// A Gap is a time in which nothing was acknowledged.
type Gap struct {
	From time.Duration `json:"from"` // last acknowledgement before, from the journal's start
	To   time.Duration `json:"to"`   // first acknowledgement after, or the end of what was seen
	Open bool          `json:"open"` // nothing was acknowledged any more
}

// Length is the outage as a client sees it.
func (g Gap) Length() time.Duration { return g.To - g.From }

// LongestGap returns the longest time without an acknowledgement that ended
// after begin and started before end. A journal without a single one is one
// open gap.
func LongestGap(j Journal, begin, end time.Duration) Gap {
	times := make([]time.Duration, 0, len(j.Acks))
	for _, a := range j.Acks {
		times = append(times, a.Acked)
	}
	slices.Sort(times)
	var longest Gap
	from := time.Duration(0)
	consider := func(g Gap) {
		if g.To > begin && g.From < end && g.Length() > longest.Length() {
			longest = g
		}
	}
	for _, t := range times {
		consider(Gap{From: from, To: t})
		from = t
	}
	consider(Gap{From: from, To: j.Length, Open: true})
	return longest
}

// Overlaps returns the acknowledgements of a server that lie between two of
// another one: sent after the one had arrived, and answered before the other
// was sent. Two servers took writes at the same time then, unless the role
// went there and back, so the two count only if they are less than reign
// apart: the shortest time for which a server can have the role.
func Overlaps(acks []Ack, reign time.Duration) []Ack {
	byServer := map[uint32]*serverAcks{}
	for _, a := range acks {
		s := byServer[a.Server]
		if s == nil {
			s = new(serverAcks)
			byServer[a.Server] = s
		}
		s.acked = append(s.acked, a.Acked)
		s.sent = append(s.sent, a.Sent)
	}
	for _, s := range byServer {
		slices.Sort(s.acked)
		slices.Sort(s.sent)
	}
	var double []Ack
	for _, a := range acks {
		for server, s := range byServer {
			if server != a.Server && s.around(a, reign) {
				double = append(double, a)
				break
			}
		}
	}
	slices.SortFunc(double, func(a, b Ack) int { return cmp.Compare(a.Acked, b.Acked) })
	return double
}

type serverAcks struct{ acked, sent []time.Duration } // each sorted

// around reports whether this server answered before a was sent and was sent
// to after a was answered, both within reign.
func (s *serverAcks) around(a Ack, reign time.Duration) bool {
	before, _ := slices.BinarySearch(s.acked, a.Sent) // the first that is not before
	after, same := slices.BinarySearch(s.sent, a.Acked)
	for same && after < len(s.sent) && s.sent[after] == a.Acked {
		after++
	}
	if before == 0 || after == len(s.sent) {
		return false
	}
	return s.sent[after]-s.acked[before-1] < reign
}

// Missing returns the acknowledged writes that a server does not have. have
// maps the identity of each row to the server that wrote it.
func Missing(acks []Ack, have map[uint64]uint32) []Ack {
	var lost []Ack
	for _, a := range acks {
		if server, ok := have[a.ID]; !ok || server != a.Server {
			lost = append(lost, a)
		}
	}
	return lost
}

// Connects counts the attempts to connect.
type Connects struct {
	Total  int           `json:"total"`
	Failed map[Class]int `json:"failed"` // nobody was there, or nobody spoke
	// Connected, and ended before the login was through: a session like any
	// other that a switch ends, except that it had not begun to work.
	Logins int           `json:"logins_ended"`
	Slow   int           `json:"slow"` // succeeded, after a second or more: a SYN was retransmitted
	Worst  time.Duration `json:"worst_ns"`
}

// CountConnects counts the attempts that ended after begin, of the plain
// clients or of the workers.
func CountConnects(j Journal, begin time.Duration, plain bool) Connects {
	c := Connects{Failed: map[Class]int{}}
	for _, k := range j.Connects {
		if k.Plain != plain || k.Began+k.Took < begin {
			continue
		}
		c.Total++
		c.Worst = max(c.Worst, k.Took)
		switch {
		case k.Class == Reset || k.Class == Closed:
			c.Logins++
		case k.Class != OK:
			c.Failed[k.Class]++
		case k.Took >= time.Second:
			c.Slow++
		}
	}
	return c
}

// CountFailures counts the statements that were not acknowledged, by class.
func CountFailures(j Journal, begin time.Duration) map[Class]int {
	n := map[Class]int{}
	for _, f := range j.Failures {
		if f.At >= begin {
			n[f.Class]++
		}
	}
	return n
}

// IdleEnds says how the idle connections fared.
type IdleEnds struct {
	Total   int           `json:"total"`
	Learned int           `json:"learned"` // that they had ended
	Last    time.Duration `json:"last_ns"` // when the last one learned of it, counted from begin
	Unaware int           `json:"unaware"` // still thought to be open when the load stopped
}

// CountIdle counts the idle connections that had not ended at begin.
func CountIdle(j Journal, begin time.Duration) IdleEnds {
	var e IdleEnds
	for _, i := range j.Idle {
		if i.Ended != 0 && i.Ended < begin {
			continue
		}
		e.Total++
		if i.Ended == 0 {
			e.Unaware++
			continue
		}
		e.Learned++
		e.Last = max(e.Last, i.Ended-begin)
	}
	return e
}
