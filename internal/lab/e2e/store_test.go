package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/process"
)

// TestALostMemberOfTheStoreIsReplaced: a replica's store directory is wiped. Its
// agent does not start on that; it does once the member is replaced, and then the
// loss of the third node's leaves a majority.
func TestALostMemberOfTheStoreIsReplaced(t *testing.T) {
	l := shared(t, config.MariaDB)
	primary := primaryOf(t, l)
	rest := replicas(l, primary)
	lost, third := rest[0], rest[1]
	kill, err := lab.FaultByName("agent-kill")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Inject(inTime(t), kill, lost); err != nil {
		t.Fatal(err)
	}
	wipe(t, l, lost)

	mustRefuseToStart(t, l, lost)
	replace(t, l, primary, lost, "--wait=false")
	if _, err := l.Heal(inTime(t)); err != nil { // starts the agent
		t.Fatal(err)
	}
	if said := replace(t, l, primary, lost); !bytes.Contains(said, []byte(`"state": "voter"`)) {
		t.Errorf("it ended well and says %s", said)
	}

	stayed(t, primary, drill(t, l, "power", third))
}

// replicas are the data nodes but the primary.
func replicas(l *lab.Lab, primary string) []string {
	var rest []string
	for _, n := range l.DataNodes() {
		if n != primary {
			rest = append(rest, n)
		}
	}
	return rest
}

// wipe removes what a node's member of the store holds.
func wipe(t *testing.T, l *lab.Lab, node string) {
	t.Helper()
	c, found := config.Load(l.ConfigFile(node))
	if c == nil {
		t.Fatal(found)
	}
	if _, err := os.Stat(filepath.Join(c.StoreDir(), "member")); err != nil {
		t.Fatalf("%s keeps its member elsewhere: %v", node, err)
	}
	if err := os.RemoveAll(c.StoreDir()); err != nil {
		t.Fatal(err)
	}
}

// mustRefuseToStart starts a node's agent and expects it to end, and to say what
// to do.
func mustRefuseToStart(t *testing.T, l *lab.Lab, node string) {
	t.Helper()
	if err := l.StartAgent(inTime(t), node); err != nil {
		t.Fatal(err)
	}
	if p, ok := process.Recorded(l.Dir, node+"-agent"); ok {
		if err := p.Wait(inTime(t)); err != nil {
			t.Fatalf("the agent of %s has lost its store and runs on: %v", node, err)
		}
	}
	log, err := os.ReadFile(filepath.Join(l.Dir, node, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log, []byte("baton store member replace "+node)) {
		t.Errorf("the agent of %s does not say what to do", node)
	}
}

// replace has a node's member of the store replaced, asked of another node.
func replace(t *testing.T, l *lab.Lab, at, node string, more ...string) []byte {
	t.Helper()
	args := append([]string{"store", "member", "replace", node, "--socket", l.ControlSocket(at), "--yes", "-o", "json"}, more...)
	out, err := exec.CommandContext(inTime(t), rig.binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("baton %v: %v: %s", args, err, out)
	}
	return out
}
