package config

func serverKeys() []Key {
	return []Key{
		choice("server.flavor", "flavor", MariaDB, MySQL).byDefault(MariaDB).
			doc("What the server is. `baton config check` refuses one that is something else."),
		key("server.version", Text).like("10.11").
			doc("The version it must have, or the beginning of one. Empty: any."),
		key("server.port", Integer).byDefault("3306").between("1", "65535").of("TCP port").
			doc("The port that clients connect to. All TCP to it is gated, loopback included."),
		key("server.extra_port", Integer).byDefault("0").between("0", "65535").of("TCP port").
			doc("The port on which a probe gets in when all connections are used up: extra_port of MariaDB, admin_port of MySQL. 0: there is none."),
		key("server.socket", File).byDefault("/run/mysqld/mysqld.sock").
			doc("The server's unix socket. The agent uses nothing else: it works behind a closed gate. The process at its other end is the server that is watched."),
		key("server.user", Text).byDefault("baton").
			doc("The agent's own account, over the unix socket."),
		key("server.password_file", File).like("agent.password").
			doc("File with its password. Empty: unix_socket authentication (MySQL: auth_socket); server.user must then be the system user that the agent runs as, mostly root."),
		key("server.replication.user", Text).byDefault("baton_repl").
			doc("The account that replicas connect with."),
		key("server.replication.password_file", File).like("repl.password").reload().
			doc("File with its password."),
		key("server.replication.tls", YesNo).byDefault("false").
			doc("Encrypt replication. The servers must have certificates (ssl_cert, ssl_key)."),
		key("server.replication.ca", File).like("/etc/mysql/ca.pem").
			doc("The authority that must have signed the source's certificate. Empty: any certificate will do."),
		key("server.probe.user", Text).byDefault("baton_probe").
			doc("The account with which other nodes ask whether the server answers."),
		key("server.probe.password_file", File).like("probe.password").reload().
			doc("File with its password. A witness needs this one only."),
		key("server.writer.user", Text).follows("server.probe.user", func(c *Config) string { return c.Server.Probe.User }).
			doc("The local account of the write probe and of the marker of each reign. read_only must bind it: it must not have READ_ONLY ADMIN (MySQL: CONNECTION_ADMIN or SUPER)."),
		key("server.writer.password_file", File).follows("server.probe.password_file", func(c *Config) string { return c.Server.Probe.PasswordFile }).
			doc("File with its password."),
		key("server.start", Words).like("[systemctl, start, mariadb]").reload().
			doc("Command that starts the server, as a list of words; no shell. Empty: Baton never starts it."),
		key("server.binlog_program", Text).follows("mariadb-binlog, of MySQL mysqlbinlog, on the PATH", func(c *Config) string {
			if c.Server.Flavor == MySQL {
				return "mysqlbinlog"
			}
			return "mariadb-binlog"
		}).
			doc("The program that decodes the server's binary logs, for the audit of transactions that only this server has. Use the server's own version."),
		key("server.program", Words).like("[/usr/sbin/mysqld, --defaults-file=/etc/mysql/my.cnf]").reload().
			doc("MySQL: the server's program, with what makes it read its option files. `baton rejoin --reclone` starts it where no server runs, on a new host or beside broken data: initialised in a directory of its own, it fetches the copy and is removed. Empty: mysqld on the PATH, which reads the usual option files."),
		key("server.stop", Words).like("[systemctl, stop, mariadb]").reload().
			doc("Command that stops the server and returns when it has ended, as a list of words; no shell. Used by `baton rejoin --reclone` alone, which replaces the server's data. Empty: this node cannot be recloned."),
		key("server.datadir", File).like("/var/lib/mysql").
			doc("The server's data directory, for `baton rejoin --reclone`. Empty: a running server is asked. A node whose server does not run yet needs it; the directory must be there, owned by the system user of the server, and may be empty."),
		key("server.kill_hung", YesNo).byDefault("true").reload().
			doc("Kill a server whose fencing statements miss their deadline. Without it such a server is held back by the gate alone."),
		key("server.business.read", Text).like("SELECT 1 FROM shop.orders LIMIT 1").reload().
			doc("Your own statement that must be answered within detection.timeout.business, on every data node. Empty: none."),
		key("server.business.write", Text).like("REPLACE INTO shop.health VALUES (1, NOW())").reload().
			doc("Your own statement that must succeed on the primary within detection.timeout.business, by the writer's account; it waits for no lock, is logged and replicated. Once it has succeeded in a reign, its failing for timing.hang is a reason to fail over. Empty: Baton's own write probe alone."),
	}
}
