package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/endpoint/proxysql/proxysqltest"
)

// TestProxiesOfTheConfigurationAreLed: what stands in the file gets to a ProxySQL and to a
// MySQL Router, and what is wrong with them to people.
func TestProxiesOfTheConfigurationAreLed(t *testing.T) {
	s := proxysqltest.Start(t, "INSERT INTO mysql_servers (hostgroup_id, hostname) VALUES (10, 'mysql2.example.org'), (20, 'mysql3.example.org')",
		"INSERT INTO mysql_replication_hostgroups (writer_hostgroup, reader_hostgroup) VALUES (10, 20)")
	dir := t.TempDir()
	block := func(name, password string) string {
		return fmt.Sprintf("  - {name: %s, timeout: 20s, check: 1s, proxysql: {admins: [%q], user: %s, password_file: %s, writer_hostgroup: 10, reader_hostgroup: 20, primary_reads: false, save_to_disk: false, servers: [db2=mysql2.example.org, db3=mysql3.example.org]}}\n",
			name, s.At(), proxysqltest.User, password)
	}
	d := lead(t, map[string]string{"right": proxysqltest.Password + "\n", "wrong": "hunter2"}, block("well", "right")+block("wrong-password", "wrong")+
		fmt.Sprintf("  - {name: router, timeout: 20s, mysqlrouter: {file: %[1]s/shop.conf, routing: shop_primary, listen: '127.0.0.1:6446', pid_file: %[1]s/pid, restart: [touch, %[1]s/restarted]}}\n", dir))
	d.until(t, func() string {
		for name, want := range map[string]string{
			"well":           "its own monitor moves servers between hostgroups 10 and 20",
			"wrong-password": "admin-admin_credentials has to list this user, with this password",
			"router":         "MySQL Router does not run: there is no " + dir + "/pid",
		} {
			if got := d.status(name); !strings.Contains(got, want) {
				return fmt.Sprintf("the status of %s is %q, want that it says %q", name, got, want)
			}
		}
		return ""
	})
	if got, want := s.Servers("runtime_mysql_servers"), []string{"10 10.77.0.11:3306 ONLINE", "10 mysql2.example.org:3306 OFFLINE_HARD", "20 mysql2.example.org:3306 ONLINE", "20 mysql3.example.org:3306 ONLINE"}; !slices.Equal(got, want) {
		t.Errorf("ProxySQL has %q", got)
	}
	if got := s.Servers("disk.mysql_servers"); !slices.Equal(got, []string{"10 mysql2.example.org:3306 ONLINE", "20 mysql3.example.org:3306 ONLINE"}) {
		t.Errorf("on ProxySQL's disk, which is not Baton's here: %q", got)
	}
	for _, l := range d.Leads {
		if l.Endpoint == "well" && !l.Settled {
			t.Errorf("a remark keeps it from being settled: %s", l)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "shop.conf"))
	if err != nil || !strings.HasSuffix(string(text), "[routing:shop_primary]\nrouting_strategy = first-available\ndestinations = 10.77.0.11:3306\n") {
		t.Errorf("the router's file holds %q (%v)", text, err)
	}
	if _, err := os.Stat(dir + "/restarted"); err == nil {
		t.Error("a router that does not run was started")
	}
	if everything := d.log.String() + d.status("wrong-password"); strings.Contains(everything, "hunter2") || strings.Contains(everything, proxysqltest.Password) {
		t.Error("a password is shown")
	}
}
