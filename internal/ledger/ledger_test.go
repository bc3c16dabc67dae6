package ledger

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// conn is the connection of client i, an IPv6 one if i is odd.
func conn(i int) Connection {
	if i%2 == 1 {
		return Connection{Local: netip.MustParseAddrPort("[fd77::50]:3306"), Remote: netip.AddrPortFrom(netip.MustParseAddr("fd77::21"), uint16(i))}
	}
	return Connection{Local: netip.MustParseAddrPort("10.77.0.50:3306"), Remote: netip.AddrPortFrom(netip.MustParseAddr("10.77.0.21"), uint16(i))}
}

func conns(from, to int) (all []Connection) {
	for i := from; i < to; i++ {
		all = append(all, conn(i))
	}
	return all
}

func look(t *testing.T, f *Feed, at cluster.Instant, there ...Connection) {
	t.Helper()
	err := f.Look(at, func(saw func(Connection)) error {
		for _, c := range there {
			saw(c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// written is a state in words: the ports, each with since when it is known.
func written(s State) string {
	slices.SortFunc(s.Entries, func(a, b Entry) int { return cmp.Compare(a.Remote.Port(), b.Remote.Port()) })
	var b strings.Builder
	for _, e := range s.Entries {
		fmt.Fprintf(&b, "%d@%d ", e.Remote.Port(), e.Since)
	}
	fmt.Fprintf(&b, "beyond %d at %d", s.Beyond, s.At)
	return b.String()
}

func want(t *testing.T, s State, text string) {
	t.Helper()
	if got := written(s); got != text {
		t.Errorf("got  %s\nwant %s", got, text)
	}
}

const ms = cluster.Instant(time.Millisecond)

// A reader follows a feed over the wire, by a clock that is 1 s ahead.
type follower struct {
	copy *Copy
	look uint64
}

func (r *follower) follow(t *testing.T, f *Feed, now cluster.Instant) {
	t.Helper()
	frames, newest, _, _ := f.After(r.look, now)
	r.look = newest
	var wire []byte
	for _, f := range frames {
		wire = f.Append(wire)
	}
	for in := bytes.NewReader(wire); ; {
		frame, err := ReadFrame(in)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		r.copy.Apply(frame, now+1000*ms)
	}
}

func TestACopyIsWhatThePrimarySawLast(t *testing.T) {
	f, r := NewFeed(100), follower{copy: NewCopy(100)}
	r.follow(t, f, 0)
	want(t, r.copy.State(), "beyond 0 at 0") // nothing has been seen

	look(t, f, 10*ms, conn(1), conn(2), conn(3))
	r.follow(t, f, 15*ms)
	want(t, f.State(), "1@10000000 2@10000000 3@10000000 beyond 0 at 10000000")
	want(t, r.copy.State(), "1@1010000000 2@1010000000 3@1010000000 beyond 0 at 1015000000")

	look(t, f, 20*ms, conn(4), conn(3), conn(1))
	look(t, f, 30*ms, conn(5), conn(3), conn(4))
	r.follow(t, f, 30*ms) // both at once
	want(t, r.copy.State(), "3@1010000000 4@1020000000 5@1030000000 beyond 0 at 1030000000")

	look(t, f, 40*ms, conn(3), conn(4), conn(5))
	r.follow(t, f, 41*ms)
	want(t, r.copy.State(), "3@1010000000 4@1020000000 5@1030000000 beyond 0 at 1041000000") // nothing new but its age

	broken := errors.New("no memory")
	if err := f.Look(50*ms, func(saw func(Connection)) error { saw(conn(3)); saw(conn(9)); return broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	want(t, f.State(), "3@10000000 4@20000000 5@30000000 beyond 0 at 40000000") // a look that failed saw nothing
	look(t, f, 60*ms, conn(9))
	r.follow(t, f, 60*ms)
	want(t, r.copy.State(), "9@1060000000 beyond 0 at 1060000000")

	for i := range feedLooks + 1 { // it is far behind now
		look(t, f, cluster.Instant(100+i)*ms, conn(20+i))
	}
	r.follow(t, f, 200*ms)
	want(t, r.copy.State(), "36@1116000000 beyond 0 at 1200000000")

	_, _, news, open := f.After(r.look, 200*ms)
	if !open {
		t.Error("it is closed, want it open")
	}
	f.Close()
	<-news
	if _, _, _, open = f.After(r.look, 200*ms); open {
		t.Error("it is open, want it closed")
	}
}

func TestBeyondTheLimitTheNewestAreLeftOut(t *testing.T) {
	f, r := NewFeed(3), follower{copy: NewCopy(2)}
	look(t, f, 1*ms, conns(1, 3)...)
	look(t, f, 2*ms, conns(1, 6)...)
	want(t, f.State(), "1@1000000 2@1000000 3@2000000 beyond 2 at 2000000")
	r.follow(t, f, 2*ms)
	if s := r.copy.State(); len(s.Entries) != 2 || s.Beyond != 3 {
		t.Errorf("%d and %d beyond in a copy of 2, want 2 and 3", len(s.Entries), s.Beyond)
	}
	look(t, f, 3*ms, conns(2, 6)...) // the gap is known only once all were looked at
	want(t, f.State(), "2@1000000 3@2000000 beyond 2 at 3000000")
	look(t, f, 4*ms, conns(2, 5)...)
	want(t, f.State(), "2@1000000 3@2000000 4@4000000 beyond 0 at 4000000")
}

// More than goes into a frame comes in several, and counts once it is complete.
func TestAHalfOfALedgerTakesThePlaceOfNone(t *testing.T) {
	const many = 2*frameRows + 17
	c := NewCopy(many)
	old := Frames(true, Change{Added: []Entry{{Connection: conn(7), Since: 1}}}, 1)
	c.Apply(old[0], 5)
	var entries []Entry
	for _, x := range conns(1, many+1) {
		entries = append(entries, Entry{Connection: x})
	}
	frames := Frames(true, Change{Added: entries}, 0)
	if len(frames) != 3 {
		t.Fatalf("%d frames, want 3", len(frames))
	}
	for i, f := range frames {
		c.Apply(f, cluster.Instant(10+i))
		if n, complete := len(c.State().Entries), i == len(frames)-1; complete && n != many || !complete && n != 1 {
			t.Errorf("%d connections after frame %d", n, i)
		}
	}
	if at := c.State().At; at != 12 {
		t.Errorf("as of %d, want 12", at)
	}

	// What is gone goes before what has come, in as many frames.
	for _, f := range Frames(false, Change{Gone: conns(1, many+1), Added: []Entry{{Connection: conn(3)}}}, 20) {
		c.Apply(f, 20)
	}
	want(t, c.State(), "3@0 beyond 0 at 20")
}

func TestWhatIsNoFrameIsRefused(t *testing.T) {
	good := Frame{Whole: true, Gone: []Connection{conn(1)}, Added: []Aged{{Connection: conn(2), Age: time.Second}}}.Append(nil)
	for name, tt := range map[string]struct {
		wire []byte
		want string
	}{
		"an end in the middle":         {good[:len(good)-1], "unexpected EOF"},
		"an end in the length":         {good[:3], "unexpected EOF"},
		"a huge one":                   {[]byte{0xff, 0, 0, 0}, "want no more than"},
		"an empty one":                 {[]byte{0, 0, 0, 0}, "ends too early"},
		"flags of a later version":     {[]byte{0, 0, 0, 4, 8, 0, 0, 0}, "another version"},
		"more rows than a frame holds": {[]byte{0, 0, 0, 5, 0, 0, 0, 0x81, 0x20}, "4097 added"},
		"rows that are not there":      {[]byte{0, 0, 0, 4, 0, 0, 1, 0}, "ends too early"},
		"a family that is none":        {[]byte{0, 0, 0, 5, 0, 0, 1, 0, 5}, "family 5"},
		"something after the end":      {[]byte{0, 0, 0, 5, 0, 0, 0, 0, 1}, "1 bytes too many"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ReadFrame(bytes.NewReader(tt.wire)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzFrame(f *testing.F) {
	for _, frame := range []Frame{{}, {Whole: true, More: true, Beyond: 3}, {Gone: conns(1, 3), Added: []Aged{{Connection: conn(2), Age: time.Second}}}} {
		f.Add(frame.Append(nil)[4:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(frame.Append(nil)[4:])
		if err != nil || !reflect.DeepEqual(frame, again) {
			t.Errorf("%+v came back as %+v (%v)", frame, again, err)
		}
		NewCopy(10).Apply(frame, 0)
	})
}

// BenchmarkLook is one look at ten thousand connections, of which one in a hundred is
// another one each time.
func BenchmarkLook(b *testing.B) {
	f := NewFeed(50_000)
	all := conns(1, 10_001)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for j := range 100 {
			all[(i*100+j)%len(all)].Remote = netip.AddrPortFrom(all[0].Remote.Addr(), uint16(10_001+i%40_000))
		}
		if err := f.Look(cluster.Instant(i), func(saw func(Connection)) error {
			for _, c := range all {
				saw(c)
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}
