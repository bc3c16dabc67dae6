package config

import "path/filepath"

func identityKeys() []Key {
	return []Key{
		key("node", Text).required("write the name of the node that this file is for, one of nodes:").like("db1").
			doc("The node that this file is for. It is the only key in which the files of a cluster differ."),
		key("cluster", Text).required("give the cluster a name, such as cluster: shop").same().like("shop").
			doc("Name of the cluster: lower-case letters, digits and dashes, at most 32. It is part of the names of everything that Baton puts on a host."),
		choice("profile", "profile", string(Fast), string(Balanced), string(WAN)).byDefault(string(Balanced)).same().
			doc("The set of defaults: fast for one quiet LAN, balanced for one LAN, wan for nodes in several sites.",
				"It sets the lease, the timing of the embedded store, the probes and the hang limit; any of them can be set beside it."),
		choice("mode", "mode", "active", "observe").byDefault("active").
			doc("observe: watch, explain what would be done, and change nothing. It is the way to adopt a running cluster: look first, act later. May differ between nodes: one that observes among active ones is never promoted and acknowledges for nobody."),
		key("data_dir", File).byDefault("/var/lib/baton").
			doc("Where this node keeps its state, and the data of its member of the embedded store. Put it on a disk that the database does not use."),
		key("run_dir", File).byDefault("/run/baton").
			doc("Where the unix socket for administration (`<cluster>.sock`) and the lock file are."),
	}
}

func nodeKeys() []Key {
	return []Key{
		key("nodes", Block).required("list every node; three are the least, one of them may be a witness").same().
			doc("The members of the cluster. Three are the least: a majority must be left when one is lost."),
		key("nodes[].name", Text).required("give the node a name").same().like("db1").
			doc("Name of the node, unique in the cluster: lower-case letters, digits and dashes, at most 32."),
		choice("nodes[].role", "role", "data", "witness").byDefault("data").same().
			doc("data: has a database server. witness: has none, observes and votes."),
		key("nodes[].address", IP).required("give the address that the other nodes reach it at").same().like("10.77.0.11").
			doc("Its own fixed address, for replication, the embedded store and probes. A number, no name: a failover must not wait for DNS."),
		key("nodes[].site", Text).same().reload().like("a").
			doc("Its data centre. After a failure the primary's own site is preferred, then the order of sites."),
		key("nodes[].prefer", Integer).byDefault("0").between("-1000", "1000").same().reload().
			doc("Among equally good candidates of one site the highest becomes primary. It never makes a failover lose anything."),
		key("nodes[].never", YesNo).byDefault("false").same().reload().
			doc("Never promote this node, whatever happens: for backup and reporting servers."),
		key("nodes[].server", Override).doc("Keys of server: that differ on this node.").like("{port: 3307}"),
		key("sites", Words).same().reload().like("[a, b, cloud]").
			doc("The sites in order of preference, nearest first. Needed only if nodes have a site."),
	}
}

func storeKeys() []Key {
	return []Key{
		key("store.peer_port", Integer).byDefault("7480").between("1", "65535").of("TCP port").
			doc("Embedded store: the port on which the nodes' members talk to each other, with mutual TLS. Open it between the nodes."),
		key("store.heartbeat", Duration).byProfile("20ms", "100ms", "100ms").between("5ms", "5s").
			doc("Embedded store: how often its leader shows that it lives. At least the round trip between two nodes."),
		key("store.election", Duration).byProfile("200ms", "500ms", "1s").between("50ms", "50s").
			doc("Embedded store: how long its leader may be silent before the others elect one. At least five heartbeats."),
		key("store.endpoints", Words).like("[https://10.0.0.1:2379, https://10.0.0.2:2379, https://10.0.0.3:2379]").
			doc("External store: the client URLs of an etcd cluster that runs already. Empty: every node runs a member of the embedded one."),
		key("store.tls.ca", File).doc("External store: the authority that signed its certificates."),
		key("store.tls.cert", File).doc("External store: this node's client certificate."),
		key("store.tls.key", File).doc("External store: the key of that certificate."),
		key("peer.port", Integer).byDefault("7481").between("1", "65535").of("TCP port").same().
			doc("The port on which the agents speak to each other directly, with mutual TLS: what is too big for the store, such as a copy of a server, or must go without it: while the store is silent, the primary asks all other data nodes to wait. Open it between the nodes.",
				"With an external store it is used only if tls: is given."),
		key("tls.ca", File).follows("tls/ca.crt beside this file", func(c *Config) string { return filepath.Join(c.dir, "tls", "ca.crt") }).
			doc("The cluster's own certificate authority, as `baton init` makes it."),
		key("tls.cert", File).follows("tls/NODE.crt beside this file", func(c *Config) string {
			return filepath.Join(c.dir, "tls", string(c.Node)+".crt")
		}).
			doc("This node's certificate, for the embedded store and between agents."),
		key("tls.key", File).follows("tls/NODE.key beside this file", func(c *Config) string {
			return filepath.Join(c.dir, "tls", string(c.Node)+".key")
		}).
			doc("The key of that certificate. Only its owner may read it."),
	}
}

func endpointKeys() []Key {
	return []Key{
		key("addresses", Block).same().
			doc("Virtual addresses that lead clients to the primary. IPv4 and IPv6, as many as wanted."),
		key("addresses[].address", IP).required("give the virtual address").same().like("10.77.0.50").
			doc("The address, without a prefix length: it is bound as /32 or /128. It must lie in a network of the interface, or, on lo, in none of this host's, and be configured nowhere else."),
		key("addresses[].interface", Text).required("name the interface that binds it, such as interface: eth0").same().like("eth0").
			doc("The interface that binds it on the primary. On lo it depends on no one interface: routers lead to it, which an endpoint tells (bgp, frr), or which have routes (route)."),
		key("addresses[].mac", Text).same().like("auto").
			doc("A link-layer address that moves with it, so that neighbours which take no announcement, or have a static entry, need not learn anything: auto, or one that is locally administered and nobody else's. The address is then on a macvlan of the interface. Empty: the interface's own, and neighbours are told."),
	}
}

func durabilityKeys() []Key {
	return []Key{
		choice("durability.mode", "kind of durability", "lossless", "async").byDefault("lossless").same().
			doc("lossless: a commit is answered once acks replicas have it, without falling back. async: a failover may lose the newest transactions."),
		key("durability.acks", Integer).byDefault("1").between("1", "100").of("replicas").same().
			doc("lossless: how many replicas must have a commit before it is answered. MariaDB knows no more than one."),
		choice("durability.alone", "policy", "continue", "wait").byDefault("continue").same().
			doc("lossless: what a primary does when nobody is left to acknowledge. continue: answer commits, raise an alarm, and elect only this primary's data.",
				"wait: let commits wait until a replica is back."),
		key("durability.back_fill", Duration).byDefault("5s").between("0s", "10m").same().reload().
			doc("async: for how long a new primary fetches, before it serves, what the binary log of the dead one holds and nobody has received. It asks the agent there, and only if that says that its server is dead. 0: not at all.",
				"A failover takes so much longer at most, and what was fetched has to be applied. What is left is in the history as possibly lost."),
	}
}

func otherKeys() []Key {
	return []Key{
		key("automation.cool_down", Duration).byProfile("1m", "1m", "5m").between("0s", "24h").same().reload().
			doc("After an automatic failover, a primary that could go on serving is not replaced again for so long. One that has stopped serving is."),
		key("automation.max_per_hour", Integer).byDefault("3").between("0", "1000").of("failovers").same().reload().
			doc("Past so many automatic failovers in an hour, Baton holds and waits for a person. 0: no limit."),
		choice("rejoin.acknowledged", "way to rejoin", "hold", "rewind", "reclone").byDefault("hold").same().reload().
			doc("A server has transactions that the primary lacks, and a client may have been told that one of them is committed. hold: it waits for a person (`baton rejoin`). rewind: they are undone. reclone: its data is replaced."),
		choice("rejoin.unacknowledged", "way to rejoin", "hold", "rewind", "reclone").follows("rewind; on MySQL, which cannot undo, hold", func(c *Config) string {
			if c.Server.Flavor == MySQL {
				return "hold"
			}
			return "rewind"
		}).same().reload().
			doc("The same where no client was ever told so."),
		key("rejoin.rate", Rate).byDefault("0").between("0", "1TiB/s").reload().like("50MiB/s").
			doc("The most that a reclone reads from the server whose data it copies, so that its clients and its network hold out. Each node has its own: what counts is that of the node that gives the data (MariaDB) or gets it (MySQL). 0: no limit."),
		key("rejoin.keep_log", Size).byDefault("256MiB").between("0", "1TiB").reload().
			doc("When a primary's server has died, its agent copies the end of its binary log before it starts the server, because crash recovery may drop transactions from it. So much is copied at most, below data_dir; the start waits for it. The copy is removed once it is known that nothing is missing. 0: none is made."),
		key("realtime", YesNo).byDefault("true").
			doc("Run under real-time priority (SCHED_RR) with locked memory, where permitted: a loaded host then does not delay renewals of the lease."),
		choice("log.level", "level", "debug", "info", "warn", "error").byDefault("info").reload().
			doc("The least severe messages that are logged."),
		choice("log.format", "format", "text", "json").byDefault("text").
			doc("How log lines are written to standard error."),
	}
}
