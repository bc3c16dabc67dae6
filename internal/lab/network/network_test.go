package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rig builds a network of two database hosts, two clients and a router.
func rig(t *testing.T) Network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NEEDS ROOT: builds network namespaces")
	}
	n := Network{Prefix: fmt.Sprintf("baton-nettest%d-", os.Getpid())}
	t.Cleanup(func() {
		if err := n.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := n.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, h := range []Host{{Name: "db1", Number: 11}, {Name: "db2", Number: 12}, {Name: "cl", Number: 100}, {Name: "rt", Number: 1, Router: true}, {Name: "rc", Number: 100, Network: 1}} {
		if err := n.AddHost(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// serve answers every connection to port 3306 of a host with its name.
func serve(t *testing.T, n Network, host string) {
	t.Helper()
	script := `exec perl -MIO::Socket::IP -e '$|=1; $s=IO::Socket::IP->new(LocalHost=>"::",LocalPort=>3306,Listen=>50,V6Only=>0,ReuseAddr=>1) or die; print "ready\n"; while($c=$s->accept){print $c "$ARGV[0]\n"; close $c}' ` + host
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", n.Namespace(host), "sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() }) //nolint:errcheck // killed by its context
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("server on %s: %v", host, err)
	}
}

// How long an answer may take, and how long none must come: a machine under
// load may be slow to answer, but what is lost never comes.
const (
	answers = 20 * time.Second
	silence = 300 * time.Millisecond
)

// ask connects from one host to an address and returns the answer. A lost
// packet shows as a timeout.
func ask(t *testing.T, n Network, from, address string, patience time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := n.DialContext(ctx, from, "tcp", net.JoinHostPort(address, "3306"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

// reaches asks until it is answered. Where packets were lost a moment ago, the kernel
// may still be asking for the neighbour's hardware address, and end that with "no route
// to host" after the network is whole again: the next connection starts afresh.
func reaches(t *testing.T, n Network, from, address string) (answer string, err error) {
	t.Helper()
	for limit := time.Now().Add(answers); time.Now().Before(limit); {
		answer, err = ask(t, n, from, address, time.Until(limit))
		if !errors.Is(err, unix.EHOSTUNREACH) {
			break
		}
	}
	return answer, err
}

func TestEveryHostReachesTheOthers(t *testing.T) {
	n := rig(t)
	serve(t, n, "db1")
	for _, from := range []string{"db2", "cl", "rc"} {
		for _, address := range []string{"10.77.0.11", "fd77::b"} {
			if got, err := reaches(t, n, from, address); err != nil || got != "db1\n" {
				t.Errorf("%s asks %s: %q, %v", from, address, got, err)
			}
		}
	}
}

func TestACutLosesWhatItSaysAndNothingElse(t *testing.T) {
	n := rig(t)
	serve(t, n, "db1")
	serve(t, n, "db2")
	const db1, db2 = "10.77.0.11", "10.77.0.12"
	whole := func(t *testing.T) {
		t.Helper()
		for _, from := range []string{"cl", "db2"} {
			if _, err := reaches(t, n, from, db1); err != nil {
				t.Errorf("the network is whole, but from %s: %v", from, err)
			}
		}
	}
	whole(t)
	for name, tt := range map[string]struct {
		cut            Cut
		clToDb1, db2To bool // whether cl, and db2, still reach db1
	}{
		"nothing from db1":         {From("db1"), false, false},
		"nothing to db1":           {To("db1"), false, false},
		"db1 and db2 do not meet":  {Between([]string{"db1"}, []string{"db2"}), true, false},
		"the database port is cut": {TCPPort(3306), false, false},
		"another port is cut":      {TCPPort(7480), true, true},
		"two cuts at once":         {Between([]string{"db1"}, []string{"db2"}).And(Between([]string{"db1"}, []string{"cl"})), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := n.Cut(t.Context(), "x", tt.cut); err != nil {
				t.Fatal(err)
			}
			for from, want := range map[string]bool{"cl": tt.clToDb1, "db2": tt.db2To} {
				if want {
					if _, err := reaches(t, n, from, db1); err != nil {
						t.Errorf("%s does not reach db1: %v", from, err)
					}
					continue
				}
				_, err := ask(t, n, from, db1, silence)
				var timeout net.Error
				switch {
				case err == nil:
					t.Errorf("%s reaches db1", from)
				case !errors.As(err, &timeout) || !timeout.Timeout():
					t.Errorf("the loss is not silent: %v", err)
				}
			}
			if err := n.Mend(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			whole(t)
		})
	}
	if _, err := reaches(t, n, "cl", db2); err != nil {
		t.Errorf("a bystander: %v", err)
	}
	if err := n.Mend(t.Context(), "x"); err != nil {
		t.Errorf("mending twice: %v", err)
	}
}

func TestAPortIsSwitchedOffAndOn(t *testing.T) {
	n := rig(t)
	serve(t, n, "db1")
	if err := n.SetPort(t.Context(), "db1", false); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, n, "cl", "10.77.0.11", silence); err == nil {
		t.Error("reached a host whose port is off")
	}
	if err := n.SetPort(t.Context(), "db1", true); err != nil {
		t.Fatal(err)
	}
	if _, err := reaches(t, n, "cl", "10.77.0.11"); err != nil {
		t.Errorf("the port is on again, but: %v", err)
	}
}

func TestRemoveTakesAllNamespacesAndNoOther(t *testing.T) {
	n := rig(t)
	other := Network{Prefix: fmt.Sprintf("baton-nettest%dx-", os.Getpid())}
	if err := other.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer other.Remove(context.Background()) //nolint:errcheck // checked below
	for range 2 {                            // the second time there is nothing to do
		if err := n.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := n.Namespaces(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if left, err := other.Namespaces(t.Context()); err != nil || len(left) != 1 {
		t.Errorf("the other lab has %v, %v", left, err)
	}
}
