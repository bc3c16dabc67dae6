package load

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ms = time.Millisecond

// acks builds acknowledgements from a picture: one letter a millisecond, A for
// server 1, B for server 2, a dot for none. Each was sent half a millisecond
// before it was answered.
func acks(picture string) []Ack {
	var all []Ack
	for i, c := range picture {
		if c == '.' {
			continue
		}
		at := time.Duration(i) * ms
		all = append(all, Ack{ID: uint64(i), Server: uint32(c-'A') + 1, Sent: at - ms/2, Acked: at})
	}
	return all
}

func journal(picture string) Journal {
	return Journal{Acks: acks(picture), Length: time.Duration(len(picture)) * ms}
}

func TestLongestGap(t *testing.T) {
	for name, tt := range map[string]struct {
		picture    string
		begin, end time.Duration
		want       Gap
	}{
		"between two servers":                        {"AAA....BBB", 0, time.Hour, Gap{From: 2 * ms, To: 7 * ms}},
		"the longest of several":                     {"A..A....A.A", 0, time.Hour, Gap{From: 3 * ms, To: 8 * ms}},
		"one that ended before the fault is no part": {"A....AAA..BBB", 6 * ms, time.Hour, Gap{From: 7 * ms, To: 10 * ms}},
		"one that began after the heal is no part":   {"AA..BBB......A", 0, 5 * ms, Gap{From: 1 * ms, To: 4 * ms}},
		"a fault in the middle of one counts whole":  {"A.....B", 3 * ms, time.Hour, Gap{From: 0, To: 6 * ms}},
		"nothing came any more":                      {"AAA.......", 0, time.Hour, Gap{From: 2 * ms, To: 10 * ms, Open: true}},
		"nothing ever came":                          {"....", 0, time.Hour, Gap{From: 0, To: 4 * ms, Open: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := LongestGap(journal(tt.picture), tt.begin, tt.end); got != tt.want {
				t.Errorf("LongestGap(%s) = %+v, want %+v", tt.picture, got, tt.want)
			}
		})
	}
}

func TestLongestGapSortsByArrival(t *testing.T) {
	j := Journal{Length: 9 * ms, Acks: []Ack{{Acked: 8 * ms}, {Acked: 1 * ms}, {Acked: 5 * ms}}}
	if got, want := LongestGap(j, 0, time.Hour), (Gap{From: 1 * ms, To: 5 * ms}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOverlaps(t *testing.T) {
	for name, tt := range map[string]struct {
		picture string
		reign   time.Duration
		want    []uint64 // at which millisecond
	}{
		"one server":                              {"AAAA", math.MaxInt64, nil},
		"the role moved once":                     {"AAA...BBB", math.MaxInt64, nil},
		"the old one answered once more":          {"AAA..BBABB", math.MaxInt64, []uint64{5, 6, 7}},
		"the new one answered once too early":     {"AAABAA...BB", 5 * ms, []uint64{3}},
		"both wrote, in turn":                     {"AAABABAB", math.MaxInt64, []uint64{3, 4, 5, 6}},
		"there and back, each for long enough":    {"AAAABBBBAAAA", 3 * ms, nil},
		"there and back, quicker than can be":     {"AAAABBBBAAAA", 20 * ms, []uint64{4, 5, 6, 7}},
		"the newer one wrote only after the last": {"AAAB", math.MaxInt64, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []uint64
			for _, a := range Overlaps(acks(tt.picture), tt.reign) {
				got = append(got, a.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Overlaps(%s): -want +got\n%s", tt.picture, diff)
			}
		})
	}
}

func TestAnAnswerOnItsWayWhenTheOtherBeganIsNoOverlap(t *testing.T) {
	acks := []Ack{
		{ID: 1, Server: 1, Sent: 0, Acked: 10 * ms}, // may have been committed at 1 ms
		{ID: 2, Server: 2, Sent: 5 * ms, Acked: 6 * ms},
		{ID: 3, Server: 2, Sent: 12 * ms, Acked: 13 * ms},
	}
	if got := Overlaps(acks, math.MaxInt64); got != nil {
		t.Errorf("Overlaps = %+v: the old server may have committed before the new one began", got)
	}
}

func TestMissing(t *testing.T) {
	all := acks("ABC")
	for name, tt := range map[string]struct {
		have map[uint64]uint32
		want []Ack
	}{
		"all are there":                      {map[uint64]uint32{0: 1, 1: 2, 2: 3}, nil},
		"more than was acknowledged":         {map[uint64]uint32{0: 1, 1: 2, 2: 3, 9: 1}, nil},
		"one is gone":                        {map[uint64]uint32{0: 1, 2: 3}, all[1:2]},
		"a row of the same name, by another": {map[uint64]uint32{0: 1, 1: 1, 2: 3}, all[1:2]},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Missing(all, tt.have)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestCountConnects(t *testing.T) {
	j := Journal{Connects: []Connect{
		{Began: 0, Took: 2 * ms, Plain: true}, // before the fault
		{Began: 9 * ms, Took: 2 * ms, Plain: true},
		{Began: 20 * ms, Took: 1020 * ms, Plain: true},
		{Began: 20 * ms, Took: ms, Plain: true, Class: Refused},
		{Began: 20 * ms, Took: ms, Plain: true, Class: Reset},
		{Began: 20 * ms, Took: 250 * ms, Class: Timeout},
	}}
	if diff := cmp.Diff(Connects{Total: 4, Failed: map[Class]int{Refused: 1}, Logins: 1, Slow: 1, Worst: 1020 * ms}, CountConnects(j, 10*ms, true)); diff != "" {
		t.Errorf("plain: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(Connects{Total: 1, Failed: map[Class]int{Timeout: 1}, Worst: 250 * ms}, CountConnects(j, 10*ms, false)); diff != "" {
		t.Errorf("workers: -want +got\n%s", diff)
	}
}

func TestCountIdle(t *testing.T) {
	j := Journal{Idle: []Idle{
		{Opened: 1 * ms, Ended: 30 * ms},
		{Opened: 1 * ms},
		{Opened: 1 * ms, Ended: 5 * ms}, // ended before the fault
	}}
	want := IdleEnds{Total: 2, Learned: 1, Last: 20 * ms, Unaware: 1}
	if got := CountIdle(j, 10*ms); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
