package e2e_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/lab"
)

// TestTheDoctorReadsEveryHost: the agents of all nodes read their hosts at that moment,
// over the direct link; a neighbour that ignores announcements becomes what costs most.
func TestTheDoctorReadsEveryHost(t *testing.T) {
	rare(t)
	l, ctx := shared(t, config.MariaDB), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	deaf, asked := replicas(l, primary)[0], replicas(l, primary)[1]
	before := doctorOf(ctx, t, l, asked)
	if len(before.Hosts) != len(l.DataNodes()) {
		t.Errorf("%d hosts were read, want %d", len(before.Hosts), len(l.DataNodes()))
	}
	for _, h := range before.Hosts {
		if h.Why != "" || len(h.Missing) > 0 || h.Server == nil || h.Server.Wait == nil || h.Clients == nil || h.TCP["tcp_retries2"] == 0 {
			t.Errorf("of %s: %+v", h.Node, h)
		}
		for _, p := range h.Paths {
			if here := string(h.Node) == primary; p.Here != here || p.Neighbour() == here || p.Settings["base_reachable_time_ms"] == 0 {
				t.Errorf("of %s: %+v", h.Node, p)
			}
		}
	}
	heed := func(value string) {
		t.Helper()
		out, err := exec.Command("ip", "netns", "exec", "baton-"+l.Name+"-"+deaf, "sh", "-c", "echo "+value+" >/proc/sys/net/ipv4/conf/eth0/drop_gratuitous_arp").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	heed("1")
	t.Cleanup(func() { heed("0") })
	now := doctorOf(ctx, t, l, asked)
	if len(now.Advice) == 0 || !strings.Contains(now.Advice[0].Text, "are ignored on "+deaf) || now.Advice[0].Saves.D().Seconds() != 53 {
		t.Errorf("what costs most is %+v", now.Advice)
	}
}

func doctorOf(ctx context.Context, t *testing.T, l *lab.Lab, at string) api.Budget {
	t.Helper()
	c := api.NewClient(l.ControlSocket(at))
	defer c.Close()
	b, err := c.Budget(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
