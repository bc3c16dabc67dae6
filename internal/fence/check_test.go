package fence

import (
	"errors"
	"testing"
)

func TestCheckLeavesNothing(t *testing.T) {
	s := newSpace(t)
	before := s.sh("nft", "list", "ruleset")
	for range 2 {
		if err := s.try(func() error { return Check(t.Context(), testConfig()) }); err != nil {
			t.Fatal(err)
		}
	}
	if after := s.sh("nft", "list", "ruleset"); after != before {
		t.Errorf("the check left behind:\n%s", after)
	}
}

func TestCheckDisturbsNoLivingGate(t *testing.T) {
	s := newSpace(t)
	g := openGate(s, testConfig())
	if err := s.try(func() error { return Check(t.Context(), testConfig()) }); err != nil {
		t.Fatal(err)
	}
	if m := mode(t, g); m != Closed {
		t.Errorf("the gate is %s after a check, want %s", m, Closed)
	}
}

// What the kernel refuses in the middle must not pass for the want of a commit.
func TestCheckHearsTheKernelsRefusal(t *testing.T) {
	s := newSpace(t)
	err := s.try(func() error {
		c, err := dialNetlink(12 /* NETLINK_NETFILTER */)
		if err != nil {
			return err
		}
		defer c.close()
		g := &Gate{cfg: testConfig(), table: checkTable}
		b := g.build(false)
		b.addElements("no-such-set", []element{{key: []byte{1}}})
		b.addTable(0, "")
		return unavailable("rehearse", b.rehearse(t.Context(), c))
	})
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("a set that is not there: %v, want %v", err, ErrUnavailable)
	}
}
