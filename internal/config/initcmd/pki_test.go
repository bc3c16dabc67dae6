package initcmd_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/config/initcmd"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/mariadb"
	"github.com/baton-db/baton/internal/pki"
)

// The pieces that `baton init` is made of fit together: what it writes is
// accepted by those who will read it, on every node.
func TestABundleIsAcceptedByThoseWhoReadIt(t *testing.T) {
	now := time.Now()
	dir := filepath.Join(t.TempDir(), "shop")
	opts := initcmd.Options{
		Dir: dir, Cluster: "shop",
		Nodes: []config.Node{
			{Name: "db1", Address: netip.MustParseAddr("10.77.0.11")},
			{Name: "db2", Address: netip.MustParseAddr("fd77::12")},
			{Name: "w1", Address: netip.MustParseAddr("10.77.0.20"), Role: cluster.Witness},
		},
		Issue: func(name string, nodes []config.Node) (initcmd.Certificates, error) {
			ca, err := pki.NewAuthority(name, now)
			if err != nil {
				return initcmd.Certificates{}, err
			}
			c := initcmd.Certificates{CA: ca.Pair().Cert, CAKey: ca.Pair().Key, Nodes: map[cluster.NodeName]initcmd.Pair{}}
			for _, n := range nodes {
				p, err := ca.Issue(string(n.Name), []netip.Addr{n.Address}, now)
				if err != nil {
					return initcmd.Certificates{}, err
				}
				c.Nodes[n.Name] = initcmd.Pair(p)
			}
			return c, nil
		},
		SQL: func(a initcmd.Accounts) (string, error) {
			return strings.Join(mariadb.LeastPrivilegeSQL(db.Accounts{
				Agent: db.Account(a.Agent), Probe: db.Account(a.Probe), Replication: db.Account(a.Replication),
			}), ";\n") + ";\n", nil
		},
	}
	if _, found := initcmd.Init(opts); len(found) > 0 {
		t.Fatal(found)
	}
	for _, n := range opts.Nodes {
		cfg, found := config.Load(filepath.Join(dir, string(n.Name), "baton.yaml"))
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		if found := cfg.CheckFiles(now); len(found) > 0 {
			t.Errorf("%s: %s", n.Name, found)
		}
		if _, err := pki.Load(pki.Files(cfg.TLS), string(n.Name), []netip.Addr{n.Address}, now); err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
}
