package config

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
)

// fakeHost and fakeServers are a host and servers as a case describes them.
type fakeHost struct {
	seen HostSeen
	err  error
}

func (h fakeHost) LookAtHost(context.Context) (HostSeen, error) { return h.seen, h.err }

type fakeServers map[cluster.NodeName]any // a ServerSeen, or an error

func (s fakeServers) LookAtServer(_ context.Context, n Node) (ServerSeen, error) {
	switch x := s[n.Name].(type) {
	case ServerSeen:
		return x, nil
	case error:
		return ServerSeen{}, x
	}
	return ServerSeen{}, errors.New("nobody asked this server to be there")
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// goodHost is db1.
func goodHost() HostSeen {
	return HostSeen{
		Now: noon, ClockSource: "tsc", ClockSynchronised: true,
		Interfaces: []Interface{
			{Name: "lo", Up: true, Networks: prefixes("127.0.0.1/8", "::1/128")},
			{Name: "eth0", Up: true, Networks: prefixes("10.77.0.11/24", "fe80::1/64")},
			{Name: "eth1", Up: true, Networks: prefixes("192.168.7.11/24")},
		},
	}
}

func goodServer(id uint32, local bool) ServerSeen {
	s := ServerSeen{Flavor: MariaDB, Version: "10.11.6-MariaDB-log", ID: id, BinLog: true, LogUpdates: true}
	if local {
		s.Local, s.Port, s.RowFormat, s.StrictGTID, s.SemiSync = true, 3306, "ROW", true, true
		s.Restart = Restart{Known: true, Why: "my_print_defaults --mysqld", ReadOnly: true, HoldReplication: true}
	}
	return s
}

func TestCheck(t *testing.T) {
	type world struct {
		cfg  *Config
		host *HostSeen
		own  *ServerSeen
		all  fakeServers
	}
	vip := func(w world, address, dev string) {
		w.cfg.Addresses = append(w.cfg.Addresses, Address{Address: netip.MustParseAddr(address), Interface: dev})
	}
	for name, tt := range map[string]struct {
		change func(w world)
		want   []string
	}{
		"all is in order": {func(w world) { vip(w, "10.77.0.50", "eth0") }, nil},

		"a virtual address in no network of its interface": {func(w world) { vip(w, "192.168.7.50", "eth0") },
			[]string{"addresses[0].address: 192.168.7.50 is outside of every network of eth0, which are 10.77.0.0/24; use interface: eth1"}},
		"a virtual address in no network at all": {func(w world) { vip(w, "172.16.0.1", "eth0") },
			[]string{"addresses[0].address: 172.16.0.1 is outside of every network of eth0, which are 10.77.0.0/24; use an address of one of these networks"}},
		"a virtual address of a family that the interface has not": {func(w world) { vip(w, "fd77::50", "eth0") },
			[]string{"addresses[0].address: fd77::50 is outside of every network of eth0, which are 10.77.0.0/24; use an address of one of these networks"}},
		"a virtual address on loopback": {func(w world) { vip(w, "10.99.0.50", "lo") }, nil},
		"a virtual address on loopback that neighbours would ask for": {func(w world) { vip(w, "192.168.7.50", "lo") },
			[]string{"addresses[0].address: 192.168.7.50 is in a network of eth1, where neighbours ask for it and nobody tells them that it moves; use an address outside of the hosts' networks, or interface: eth1"}},
		"no such interface": {func(w world) { vip(w, "10.77.0.50", "ens3") },
			[]string{"addresses[0].interface: this host has no interface ens3; use eth0"}},
		"an interface that is down": {func(w world) { w.host.Interfaces[1].Up = false; vip(w, "10.77.0.50", "eth0") },
			[]string{"addresses[0].interface: eth0 is down; ip link set eth0 up"}},
		"a virtual address that is configured here": {func(w world) {
			w.host.Interfaces[1].Networks = append(w.host.Interfaces[1].Networks, prefixes("10.77.0.50/24")...)
			vip(w, "10.77.0.50", "eth0")
		}, []string{"addresses[0].address: somebody else has configured 10.77.0.50/24 on eth0 here; remove it from this host's network configuration: Baton binds it, and on one host only"}},
		"a virtual address that Baton has bound here": {func(w world) {
			w.host.Interfaces[1].Networks = append(w.host.Interfaces[1].Networks, prefixes("10.77.0.50/32")...)
			vip(w, "10.77.0.50", "eth0")
		}, nil},
		"the file is for another host": {func(w world) { w.host.Interfaces[1].Networks = prefixes("10.77.0.12/24") },
			[]string{"nodes[0].address: 10.77.0.11 is no address of this host, which has 10.77.0.12, 192.168.7.11; is this db2? Then write node: db2"}},
		"a tracked interface that is not there": {func(w world) { w.cfg.Detection.Track = []Track{{Interface: "eth7"}} },
			[]string{"detection.track[0].interface: this host has no interface eth7; use one that `ip link` shows, or remove the entry"}},
		"a tracked gateway that is not next door": {func(w world) {
			w.cfg.Detection.Track = []Track{{Interface: "eth1", Gateway: netip.MustParseAddr("10.0.0.1")}}
		}, []string{"detection.track[0].gateway: 10.0.0.1 is outside of every network of eth1, which are 192.168.7.0/24; give a gateway that is directly connected there"}},

		"no gate": {func(w world) { w.host.NoGate = "the kernel has no nf_tables" },
			[]string{"warning: gate: there is no gate on this host: the kernel has no nf_tables; use a kernel with nf_tables and run the agent as root; " +
				"until then an agent that is killed or frozen does not close the port, and only read_only and the acknowledgements hold clients back"}},
		"a firewall that flushes all": {func(w world) { w.host.Flushers = []string{"/etc/nftables.conf"} },
			[]string{"warning: gate: /etc/nftables.conf removes every firewall table when it is reloaded, Baton's included; the agent puts it back, but not in the same instant (flush ruleset); " +
				"in it, replace \"flush ruleset\" by: table inet filter {}; flush table inet filter (or whatever your own tables are)"}},
		"clocks and priority that are not as they should be": {func(w world) {
			w.host.ClockSource, w.host.ClockSynchronised, w.host.NoRealtime = "jiffies", false, "operation not permitted"
		}, []string{
			"warning: clock: the kernel's clock runs from jiffies, whose speed may differ by more than timing.drift (cat /sys/devices/system/clocksource/clocksource0/current_clocksource); choose a better one, or raise timing.drift",
			"warning: clock: this host's wall clock is not synchronised; no decision uses it, but times in the history will not match those of other nodes; run chrony or another NTP client",
			"warning: realtime: the agent may not run under real-time priority here: operation not permitted; let the unit have LimitRTPRIO=50, LimitMEMLOCK=infinity and CAP_SYS_NICE, or set realtime: false and a longer lease",
		}},

		"a server without a binary log": {func(w world) { w.own.BinLog, w.own.LogUpdates = false, false },
			[]string{"server of db1: it writes no binary log, so nobody could replicate from it (SELECT @@global.log_bin); write log_bin = binlog into its option file and restart it"}},
		"a server that does not log what it replicates": {func(w world) { w.own.LogUpdates = false },
			[]string{"server of db1: it does not log what it replicates, so nobody could replicate from it (SELECT @@global.log_slave_updates); write log_slave_updates = ON into its option file and restart it"}},
		"two servers with one id": {func(w world) { w.all["db2"] = goodServer(1, false) },
			[]string{"server of db2: it has the same server_id as that of db1, so neither replicates from the other (SELECT @@global.server_id); give every server its own server_id in its option file and restart it"}},
		"a server that would start writable, and replicate by itself": {func(w world) { w.own.Restart.ReadOnly, w.own.Restart.HoldReplication = false, false },
			[]string{
				"server of db1: it would come up writable if somebody started it (my_print_defaults --mysqld); write read_only = ON into its option file; nothing has to be restarted for that",
				"server of db1: it would start replication by itself, from whatever source it had last (my_print_defaults --mysqld); write skip_slave_start = ON into its option file; nothing has to be restarted for that",
			}},
		"option files that cannot be read": {func(w world) { w.own.Restart = Restart{Why: "my_print_defaults is not installed"} },
			[]string{"warning: server of db1: how it would start could not be found out: my_print_defaults is not installed; see that its option file has read_only = ON and skip_slave_start = ON"}},
		"another flavor": {func(w world) {
			w.own.Flavor, w.own.Version, w.own.StrictGTID = MySQL, "9.7.4", false
		}, []string{"server.flavor: the server of db1 is mysql 9.7.4, not mariadb; write flavor: mysql, if that is what you run"}},
		"a MySQL that is not as it should be": {func(w world) {
			w.cfg.Server.Flavor = MySQL
			for n := range w.all {
				w.all[n] = ServerSeen{Flavor: MySQL, Version: "9.7.4", ID: uint32(n[2]), BinLog: true, LogUpdates: true}
			}
			*w.own = ServerSeen{Flavor: MySQL, Version: "9.7.4", ID: 1, BinLog: true, LogUpdates: true, Local: true, Port: 3306, RowFormat: "ROW",
				NoGTID: true, NoHeartbeat: true, DropsUnapplied: true, Restart: Restart{Known: true, Why: "mysqld --print-defaults", ReadOnly: true, HoldReplication: true}}
		}, []string{
			"server of db1: it has no semi-synchronous replication, which durability.mode lossless needs (SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync%'); load both plugins in its option file: plugin_load_add = semisync_source.so and semisync_replica.so",
			"server of db1: its transactions have no identifiers that all servers know, by which Baton compares servers (SELECT @@global.gtid_mode, @@global.enforce_gtid_consistency); write gtid_mode = ON and enforce_gtid_consistency = ON into its option file and restart it",
			"server of db1: it does not show when a heartbeat of its source came in, so that a replica of a dead source looks like one of an idle source (SELECT @@global.performance_schema); write performance_schema = ON into its option file and restart it",
			"warning: server of db1: at every start it throws away what it received and has not applied; if the primary is dead by then, acknowledged transactions are lost (SELECT @@global.relay_log_recovery); write relay_log_recovery = OFF into its option file and restart it",
			"warning: server of db1: if it loses what it once wrote itself (a power loss, a restored backup), it skips that silently for ever (mysqld --print-defaults); write replicate_same_server_id = ON (with gtid_mode ON that makes no loops) into its option file and restart it",
		}},
		"another version": {func(w world) { w.cfg.Server.Version = "10.1" },
			[]string{
				"server.version: the server of db1 is of version 10.11.6-MariaDB-log, not 10.1; write the version that you run, or remove the key",
				"server.version: the server of db2 is of version 10.11.6-MariaDB-log, not 10.1; write the version that you run, or remove the key",
			}},
		"the beginning of the version": {func(w world) { w.cfg.Server.Version = "10.11" }, nil},
		"another port":                 {func(w world) { w.own.Port = 3307 }, []string{"server.port: the server at /run/mysqld/mysqld.sock listens on port 3307, not 3306; write port: 3307, or the socket of the right server"}},
		"no extra port":                {func(w world) { w.cfg.Server.ExtraPort = 3399 }, []string{"server.extra_port: the server has extra_port 0, not 3399; write extra_port: 0"}},
		"settings that weaken": {func(w world) {
			w.own.RowFormat, w.own.StrictGTID, w.own.LosesOnPower = "MIXED", false, []string{"sync_binlog=0"}
		}, []string{
			"warning: server of db1: its binary log is in format MIXED, which is applied differently on different servers, and of which nothing can be undone (SELECT @@global.binlog_format); SET GLOBAL binlog_format = ROW, and write it into its option file",
			"warning: server of db1: it accepts transactions out of order, so that its position does not say what it has (SELECT @@global.gtid_strict_mode); SET GLOBAL gtid_strict_mode = ON, and write it into its option file",
			"warning: server of db1: after a power loss it lacks transactions that it had acknowledged (sync_binlog=0); if the primary fails next, they are lost (SELECT @@global.sync_binlog); SET GLOBAL sync_binlog = 1, and write it into its option file",
		}},
		"no semi-synchronous replication": {func(w world) { w.own.SemiSync = false },
			[]string{"server of db1: it has no semi-synchronous replication, which durability.mode lossless needs (SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync%'); use durability.mode: async, or a server that has it"}},
		"no semi-synchronous replication, and none needed": {func(w world) { w.own.SemiSync = false; w.cfg.Durability.Mode = cluster.Async }, nil},
		"privileges that are missing, or too many": {func(w world) {
			w.own.Privileges = []Privilege{
				{Account: "'baton'@'localhost'", Name: "CONNECTION ADMIN", Mend: "GRANT CONNECTION ADMIN ON *.* TO 'baton'@'localhost'"},
				{Account: "'baton_probe'@'%'", Name: "READ_ONLY ADMIN", Excess: true, Mend: "REVOKE READ_ONLY ADMIN ON *.* FROM 'baton_probe'@'%'"},
			}
		}, []string{
			"server of db1: 'baton'@'localhost' lacks the privilege CONNECTION ADMIN (SHOW GRANTS FOR 'baton'@'localhost'); GRANT CONNECTION ADMIN ON *.* TO 'baton'@'localhost'",
			"server of db1: 'baton_probe'@'%' has the privilege READ_ONLY ADMIN, which it must not have (SHOW GRANTS FOR 'baton_probe'@'%'); REVOKE READ_ONLY ADMIN ON *.* FROM 'baton_probe'@'%'",
		}},
		"servers that are down": {func(w world) {
			w.all["db1"], w.all["db2"] = errors.New("connection refused"), errors.New("connection refused")
		}, []string{
			"server of db1: it cannot be asked: connection refused; start it, and see that the account of server.user exists (accounts.sql of `baton init`)",
			"warning: server of db2: it cannot be asked from here, so it was not checked: connection refused; run `baton config check` on db2 too",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, dir, _ := equipped(t, "db1")
			host, own := goodHost(), goodServer(1, true)
			all := fakeServers{"db2": goodServer(2, false)}
			tt.change(world{cfg, &host, &own, all})
			if all["db1"] == nil {
				all["db1"] = own
			}
			before := listing(t, dir)
			var got []string
			for _, f := range Check(t.Context(), cfg, fakeHost{seen: host}, all) {
				f.File, f.Line = "", 0
				got = append(got, f.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Errorf("something was changed: %s", diff)
			}
		})
	}
}

// listing is what is in a directory, to see that nothing was changed.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestAWitnessIsNotAskedForWhatItDoesNotNeed(t *testing.T) {
	cfg, _, _ := equipped(t, "w1")
	cfg.Addresses = []Address{{Address: netip.MustParseAddr("10.77.0.50"), Interface: "eth0"}}
	host := HostSeen{Now: noon, ClockSource: "tsc", ClockSynchronised: true, NoGate: "none", Interfaces: []Interface{{Name: "ens5", Up: true, Networks: prefixes("10.77.0.20/24")}}}
	for _, f := range Check(t.Context(), cfg, fakeHost{seen: host}, fakeServers{"db1": goodServer(1, false), "db2": goodServer(2, false)}) {
		t.Error(f)
	}
}

func TestAHostThatCannotBeLookedAtStillHasItsFilesChecked(t *testing.T) {
	cfg, _, _ := equipped(t, "db1")
	mustRemove(t, cfg.TLS.CA)
	found := Check(t.Context(), cfg, fakeHost{err: errors.New("netlink: operation not permitted")}, fakeServers{}).String()
	for _, want := range []string{"netlink: operation not permitted; run it as root", "tls.ca: read "} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not in %s", want, found)
		}
	}
}
