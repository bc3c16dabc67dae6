package fence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
)

const agentLease = 300 * time.Millisecond

func TestAKilledAgentsLeaseEndsWithNoCodeRunning(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	a := startAgent(l.host, agentLease)
	l.client.dial(virtual4, dbPort)
	wantShutAfter(t, l, a.kill(t))
}

func TestAFrozenAgentsLeaseEnds(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	a := startAgent(l.host, agentLease)
	l.client.dial(virtual4, dbPort)
	must(t, a.cmd.Process.Signal(syscall.SIGSTOP))
	until(t, "every thread of the agent stands still", func() bool { return stopped(t, a.cmd.Process.Pid) })
	end := clock.Now().Add(agentLease) // no end that it could have computed is later
	wantShutAfter(t, l, end)
	// It goes on, late with what it was doing, and renews.
	must(t, a.cmd.Process.Signal(syscall.SIGCONT))
	until(t, "clients pass again", func() bool {
		c, err := l.client.tryDial(virtual4, dbPort)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func stopped(t *testing.T, pid int) bool {
	t.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	must(t, err)
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err == nil && !bytes.Contains(b, []byte(") T ")) {
			return false
		}
	}
	return len(stats) > 0
}

func TestANewAgentAdoptsTheGateAndItsTimer(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	a := startAgent(l.host, time.Minute)
	c := l.client.dial(virtual4, dbPort)
	if _, err := tryOpenGate(l.host, testConfig()); !errors.Is(err, ErrOwned) {
		t.Fatalf("took the gate of a living agent: %v, want ErrOwned", err)
	}
	end := a.kill(t)
	g := openGate(l.host, testConfig())
	st, err := g.State(t.Context())
	must(t, err)
	// 50 ms for what the kernel rounds: two ticks at 100 Hz, and the reading.
	if left := end.Sub(clock.Now()); st.Mode != Leased || st.Remaining > left+50*time.Millisecond || st.Remaining < left-10*time.Second {
		t.Fatalf("adopted %+v, want the lease that ends in %v", st, left)
	}
	must(t, echo(c)) // the client has not noticed
	must(t, g.Close(t.Context()))
	l.client.wantRefused(virtual4, dbPort)
}

func TestAdoptionKeepsCutsAndBlocksAndTakesNewAddresses(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	source := netip.AddrPortFrom(peer4, dbPort)
	g := openGate(l.host, testConfig())
	must(t, g.Cut(t.Context(), "db2"))
	must(t, g.Block(t.Context(), source))
	must(t, g.OpenReadOnly(t.Context()))
	before, err := g.State(t.Context())
	must(t, err)
	g.Leave()

	cfg := testConfig()
	cfg.Peers["db3"] = []netip.Addr{client4}
	g = openGate(l.host, cfg)
	after, err := g.State(t.Context())
	must(t, err)
	if after.Mode != before.Mode || len(after.Cut) != 1 || len(after.Blocked) != 1 || after.Blocked[0] != source {
		t.Fatalf("adopted %+v, was %+v", after, before)
	}
	must(t, g.Close(t.Context()))
	l.client.dial(own4, dbPort) // the new node is one
	l.peer.wantRefused(own4, dbPort)
	must(t, g.Uncut(t.Context(), "db2"))
	l.peer.dial(own4, dbPort)
}

func TestAGateThatIsNotBuiltLikeOursIsReplacedByAClosedOne(t *testing.T) {
	for name, script := range map[string][]string{
		"an empty table": {"add table inet baton_bfe-test"},
		"a set of another type": {"add table inet baton_bfe-test",
			"add set inet baton_bfe-test open { type inet_service; }"},
		"a chain of another hook": {"add table inet baton_bfe-test",
			"add chain inet baton_bfe-test input { type filter hook forward priority 0; }"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			serve(l.host)
			for _, line := range script {
				l.host.sh("nft", line)
			}
			g := openGate(l.host, testConfig())
			if m := mode(t, g); m != Closed {
				t.Fatalf("the gate is %s, want closed", m)
			}
			l.client.wantRefused(virtual4, dbPort)
		})
	}
}

func TestAGateForOtherPortsOrAFreshOneStartsClosed(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	other := testConfig()
	other.Ports = []uint16{dbPort}
	fresh := testConfig()
	fresh.Fresh = true
	for _, cfg := range []GateConfig{other, fresh} {
		g := openGate(l.host, testConfig())
		must(t, g.OpenReadOnly(t.Context()))
		g.Leave()
		g = openGate(l.host, cfg)
		if m := mode(t, g); m != Closed {
			t.Fatalf("the gate is %s, want closed", m)
		}
		must(t, g.Remove(t.Context()))
	}
}

func TestRemoveLeavesNothingAndTouchesNoForeignTable(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	l.host.sh("nft", "add table inet somebody; add chain inet somebody input { type filter hook input priority 0; }; add rule inet somebody input tcp dport 22 counter accept")
	before := l.host.sh("nft", "list", "ruleset")
	g := openGate(l.host, testConfig())
	must(t, g.OpenUntil(t.Context(), clock.Now().Add(time.Minute)))
	if during := l.host.sh("nft", "list", "ruleset"); !strings.Contains(during, "baton_bfe-test") {
		t.Fatalf("nft does not show the gate:\n%s", during)
	}
	must(t, g.Remove(t.Context()))
	if after := l.host.sh("nft", "list", "ruleset"); after != before {
		t.Fatalf("the ruleset was\n%s\nand is\n%s", before, after)
	}
	l.client.dial(virtual4, dbPort)
}

func TestWithoutPrivilegeTheGateIsUnavailable(t *testing.T) {
	s := newSpace(t)
	_, out := startHelper(s, "unprivileged")
	said, err := io.ReadAll(out)
	must(t, err)
	if !bytes.HasPrefix(said, []byte("true ")) || !bytes.Contains(said, []byte("CAP_NET_ADMIN")) {
		t.Fatalf("an unprivileged process was told %q, want ErrUnavailable and why", said)
	}
}

func TestAFlushedRulesetDoesNotReachAnOwnedGate(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	g := openGate(l.host, testConfig())
	if g.flags == 0 {
		t.Skip("NOT TESTED: this kernel has no table owner that persists (Linux 6.9)")
	}
	l.host.sh("nft", "flush", "ruleset")
	l.client.wantRefused(virtual4, dbPort)
	if m := mode(t, g); m != Closed {
		t.Fatalf("the gate is %s, want closed", m)
	}
}

func TestTamperingIsRepairedAndReported(t *testing.T) {
	for name, script := range map[string]string{
		"flushed ruleset": "flush ruleset",
		"deleted table":   "delete table inet baton_bfe-test",
		"flushed rules":   "flush table inet baton_bfe-test",
		"added rule":      "insert rule inet baton_bfe-test requests accept",
		"added element":   "add element inet baton_bfe-test nodes4 { 10.77.2.3 }",
	} {
		for _, want := range []Mode{Closed, ReadOnly, Leased} {
			t.Run(name+", gate "+string(want), func(t *testing.T) {
				l := newLab(t)
				serve(l.host)
				cfg := testConfig()
				cfg.plain = true // otherwise the kernel keeps everybody else out
				g := openGate(l.host, cfg)
				must(t, g.Cut(t.Context(), "db2"))
				must(t, g.Block(t.Context(), netip.AddrPortFrom(peer6, dbPort)))
				switch want {
				case ReadOnly:
					must(t, g.OpenReadOnly(t.Context()))
				case Leased:
					must(t, g.OpenUntil(t.Context(), clock.Now().Add(time.Minute)))
				}
				l.host.sh("nft", script)
				select {
				case told := <-g.Tampered():
					if told.Repaired != nil || !strings.HasPrefix(told.By, "nft (process ") {
						t.Fatalf("told %+v, want it repaired and done by nft", told)
					}
				case <-time.After(patience):
					t.Fatal("nobody noticed")
				}
				st, err := g.State(t.Context())
				must(t, err)
				if st.Mode != want || len(st.Cut) != 1 || len(st.Blocked) != 1 || st.Remaining > time.Minute {
					t.Fatalf("repaired to %+v, want %s with a cut and a block", st, want)
				}
				if want == Closed {
					l.client.wantRefused(own4, dbPort)
				}
			})
		}
	}
}

// Renewals must not be taken for tampering, nor somebody else's tables.
func TestOnlyForeignChangesOfOurTableAreTampering(t *testing.T) {
	l := newLab(t)
	cfg := testConfig()
	cfg.plain = true
	g := openGate(l.host, cfg)
	must(t, g.OpenUntil(t.Context(), clock.Now().Add(time.Minute)))
	l.host.sh("nft", "add table inet somebody; add chain inet somebody c; add table ip baton_bfe-test")
	must(t, g.Close(t.Context()))
	l.host.sh("nft", "add chain inet baton_bfe-test last") // this is: notifications come in order
	told := <-g.Tampered()
	if told.Repaired != nil {
		t.Fatal(told.Repaired)
	}
	select {
	case more := <-g.Tampered():
		t.Fatalf("told of a second change: %+v", more)
	default:
	}
	if rules := l.host.sh("nft", "list", "ruleset"); !strings.Contains(rules, "table inet somebody") || strings.Contains(rules, "chain last") {
		t.Fatalf("after the repair:\n%s", rules)
	}
}

func TestLostNotificationsAreNoTamperingIfTheGateIsAsWanted(t *testing.T) {
	l := newLab(t)
	g := openGate(l.host, testConfig())
	must(t, g.OpenUntil(t.Context(), clock.Now().Add(time.Minute)))
	g.recheck()
	select {
	case told := <-g.Tampered():
		t.Fatalf("told %+v of an untouched gate", told)
	default:
	}
	b := newBatch(g.table)
	b.flushRules(chainRequests) // as somebody else would have done it
	must(t, b.commit(t.Context(), g.nft))
	if m := mode(t, g); m != Missing {
		t.Fatalf("a gate without rules is %s, want missing", m)
	}
	g.recheck()
	if told := <-g.Tampered(); told.Repaired != nil {
		t.Fatal(told.Repaired)
	}
	if m := mode(t, g); m != Leased {
		t.Fatalf("after the repair the gate is %s, want leased", m)
	}
}
