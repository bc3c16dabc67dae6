package config

import (
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// variable is the name of a server variable in the words of a flavor.
func variable(flavor, name string) string {
	if flavor == MySQL {
		switch name {
		case "log_slave_updates":
			return "log_replica_updates"
		case "skip_slave_start":
			return "skip_replica_start"
		case "read_only":
			return "super_read_only"
		case "extra_port":
			return "admin_port"
		}
	}
	return name
}

// shown is the statement that shows a variable.
func shown(seen ServerSeen, name string) string {
	return "SELECT @@global." + variable(seen.Flavor, name)
}

// server judges one server. Node i of the file is its node.
func (c *check) server(i int, n Node, seen ServerSeen) {
	about := "server of " + string(n.Name)
	want := c.cfg.ServerOf(n.Name)
	own := c.serverBlock(i)
	if seen.Flavor != want.Flavor {
		c.at(Error, own+".flavor", fmt.Sprintf("the server of %s is %s %s, not %s", n.Name, seen.Flavor, seen.Version, want.Flavor), "write flavor: "+seen.Flavor+", if that is what you run")
	}
	if want.Version != "" && !hasVersion(seen.Version, want.Version) {
		c.at(Error, own+".version", fmt.Sprintf("the server of %s is of version %s, not %s", n.Name, seen.Version, want.Version), "write the version that you run, or remove the key")
	}
	option := func(bad bool, s Severity, what, name, value string) {
		if bad {
			c.add(s, about, what, shown(seen, name), fmt.Sprintf("write %s = %s into its option file and restart it", variable(seen.Flavor, name), value))
		}
	}
	option(!seen.BinLog, Error, "it writes no binary log, so nobody could replicate from it", "log_bin", "binlog")
	option(seen.BinLog && !seen.LogUpdates, Error, "it does not log what it replicates, so nobody could replicate from it", "log_slave_updates", "ON")
	option(seen.ID == 0, Error, "its server_id is 0, so nobody could replicate from it", "server_id", "a number of its own")
	if seen.Local {
		c.ownServer(n, want, seen)
	}
	for _, p := range seen.Privileges {
		what := fmt.Sprintf("%s lacks the privilege %s", p.Account, p.Name)
		if p.Excess {
			what = fmt.Sprintf("%s has the privilege %s, which it must not have", p.Account, p.Name)
		}
		c.add(Error, about, what, "SHOW GRANTS FOR "+p.Account, p.Mend)
	}
}

// serverBlock is where the file describes the server of node i.
func (c *check) serverBlock(i int) string {
	if c.cfg.Nodes[i].Server != nil {
		return at("nodes", i, "server")
	}
	return "server"
}

// hasVersion: "10.11" begins "10.11.6-MariaDB", but not "10.110".
func hasVersion(version, wanted string) bool {
	rest, ok := strings.CutPrefix(version, wanted)
	return ok && (rest == "" || rest[0] < '0' || rest[0] > '9')
}

// ownServer judges what only the agent beside a server can ask.
func (c *check) ownServer(n Node, want Server, seen ServerSeen) {
	about := "server of " + string(n.Name)
	block, _ := c.cfg.ownBlock()
	if seen.Port != want.Port {
		c.at(Error, block+".port", fmt.Sprintf("the server at %s listens on port %d, not %d", want.Socket, seen.Port, want.Port), fmt.Sprintf("write port: %d, or the socket of the right server", seen.Port))
	}
	if want.ExtraPort != 0 && seen.ExtraPort != want.ExtraPort {
		c.at(Error, block+".extra_port", fmt.Sprintf("the server has %s %d, not %d", variable(seen.Flavor, "extra_port"), seen.ExtraPort, want.ExtraPort), fmt.Sprintf("write extra_port: %d", seen.ExtraPort))
	}
	c.restart(about, seen)
	option := func(bad bool, what, name, value string) {
		if bad {
			c.add(Warning, about, what, shown(seen, name), fmt.Sprintf("SET GLOBAL %s = %s, and write it into its option file", name, value))
		}
	}
	option(seen.BinLog && seen.RowFormat != "ROW", "its binary log is in format "+seen.RowFormat+", which is applied differently on different servers, and of which nothing can be undone", "binlog_format", "ROW")
	option(seen.Flavor == MariaDB && !seen.StrictGTID, "it accepts transactions out of order, so that its position does not say what it has", "gtid_strict_mode", "ON")
	if !seen.SemiSync && c.cfg.Durability.Mode == cluster.Lossless {
		mend := "use durability.mode: async, or a server that has it"
		if seen.Flavor == MySQL && want.Flavor == MySQL {
			mend = "load both plugins in its option file: plugin_load_add = semisync_source.so and semisync_replica.so"
		}
		c.add(Error, about, "it has no semi-synchronous replication, which durability.mode lossless needs", "SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync%'", mend)
	}
	if seen.Flavor == MySQL && want.Flavor == MySQL {
		c.mysqlServer(about, want, seen)
	}
	for _, s := range seen.LosesOnPower {
		name, _, _ := strings.Cut(s, "=")
		option(true, "after a power loss it lacks transactions that it had acknowledged ("+s+"); if the primary fails next, they are lost", name, "1")
	}
}

// mysqlServer judges what only MySQL has. These settings take a restart.
func (c *check) mysqlServer(about string, want Server, seen ServerSeen) {
	option := func(bad bool, s Severity, what, asked, written string) {
		if bad {
			c.add(s, about, what, asked, "write "+written+" into its option file and restart it")
		}
	}
	option(seen.NoGTID, Error, "its transactions have no identifiers that all servers know, by which Baton compares servers",
		"SELECT @@global.gtid_mode, @@global.enforce_gtid_consistency", "gtid_mode = ON and enforce_gtid_consistency = ON")
	option(seen.NoHeartbeat, Error, "it does not show when a heartbeat of its source came in, so that a replica of a dead source looks like one of an idle source",
		"SELECT @@global.performance_schema", "performance_schema = ON")
	option(seen.DropsUnapplied, Warning, "at every start it throws away what it received and has not applied; if the primary is dead by then, acknowledged transactions are lost",
		"SELECT @@global.relay_log_recovery", "relay_log_recovery = OFF")
	option(seen.NoClone && len(want.Stop) > 0, Warning, "its clone plugin is not loaded, so `baton rejoin --reclone` can neither copy its data nor give it another server's",
		"SELECT plugin_status FROM information_schema.plugins WHERE plugin_name = 'clone'", "plugin_load_add = mysql_clone.so")
	option(seen.Restart.Known && !seen.Restart.OwnAgain, Warning, "if it loses what it once wrote itself (a power loss, a restored backup), it skips that silently for ever",
		seen.Restart.Why, "replicate_same_server_id = ON (with gtid_mode ON that makes no loops)")
}

// restart: a server that somebody starts must come up harmless.
func (c *check) restart(about string, seen ServerSeen) {
	r := seen.Restart
	if !r.Known {
		c.add(Warning, about, "how it would start could not be found out: "+r.Why, "", "see that its option file has read_only = ON and "+variable(seen.Flavor, "skip_slave_start")+" = ON")
		return
	}
	if !r.ReadOnly {
		name := variable(seen.Flavor, "read_only")
		c.add(Error, about, "it would come up writable if somebody started it", r.Why, "write "+name+" = ON into its option file; nothing has to be restarted for that")
	}
	if !r.HoldReplication {
		name := variable(seen.Flavor, "skip_slave_start")
		c.add(Error, about, "it would start replication by itself, from whatever source it had last", r.Why, "write "+name+" = ON into its option file; nothing has to be restarted for that")
	}
}
