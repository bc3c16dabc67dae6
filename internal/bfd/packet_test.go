package bfd

import (
	"bytes"
	"testing"
	"time"
)

func TestPacketsAreReadAsTheyAreWritten(t *testing.T) {
	want := Packet{Diagnostic: NeighborDown, State: Up, Poll: true, Demand: true, Multiplier: 3, Mine: 0x4f2fd5f2, Yours: 0xd67eaedf,
		DesiredTx: 300 * time.Millisecond, RequiredRx: 50 * time.Millisecond}
	b := want.Append(nil)
	// As RFC 5880, section 4.1 draws it.
	if drawn := []byte{0x23, 0xe2, 3, 24, 0x4f, 0x2f, 0xd5, 0xf2, 0xd6, 0x7e, 0xae, 0xdf, 0, 4, 0x93, 0xe0, 0, 0, 0xc3, 0x50, 0, 0, 0, 0}; !bytes.Equal(b, drawn) {
		t.Errorf("written as % x, want % x", b, drawn)
	}
	if got, err := Parse(b); err != nil || got != want {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
	if got, err := Parse(append(b, "and what the link added"...)); err != nil || got != want {
		t.Errorf("with something behind it: %+v, %v", got, err)
	}
}

func TestPacketsThatMayNotBeBelievedAreRefused(t *testing.T) {
	good := Packet{State: Up, Multiplier: 3, Mine: 1, Yours: 2, DesiredTx: time.Second, RequiredRx: time.Second}.Append(nil)
	for why, spoil := range map[string]func(b []byte) []byte{
		"too short":                   func(b []byte) []byte { return b[:23] },
		"empty":                       func([]byte) []byte { return nil },
		"of another version":          func(b []byte) []byte { b[0] = 2 << 5; return b },
		"longer than what has come":   func(b []byte) []byte { b[3] = 25; return b },
		"shorter than a packet":       func(b []byte) []byte { b[3] = 23; return b },
		"nothing may ever be missing": func(b []byte) []byte { b[2] = 0; return b },
		"for many points":             func(b []byte) []byte { b[1] |= flagMultipoint; return b },
		"authenticated":               func(b []byte) []byte { b[1] |= flagAuthentication; return b },
		"nobody's":                    func(b []byte) []byte { clear(b[4:8]); return b },
		"up with nobody":              func(b []byte) []byte { clear(b[8:12]); return b },
	} {
		if p, err := Parse(spoil(bytes.Clone(good))); err == nil {
			t.Errorf("%s: it is read as %+v", why, p)
		}
	}
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Packet{State: Up, Poll: true, Multiplier: 3, Mine: 1, Yours: 2, DesiredTx: time.Second, RequiredRx: time.Second}.Append(nil))
	f.Add([]byte{0x20, 0x40, 3, 24})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(p.Append(nil))
		if err != nil || again != p {
			t.Errorf("%+v is written and read as %+v, %v", p, again, err)
		}
		// Whatever a neighbour says, a session comes to rest and never sends all the time.
		now := time.Unix(0, 0)
		s := NewSession(Settings{50 * time.Millisecond, 3}, 7, now)
		p.Yours = 7
		_ = s.Receive(p, now)
		s.Step(now, 1)
		if next := s.Next(); !next.After(now) {
			if at, ok := s.Expires(); !ok || at.After(now) {
				t.Errorf("after %+v it is busy at once again", p)
			}
		}
	})
}
