package config

import "testing"

// Each case is one endpoint in a good file, on line 12.
func TestWhatIsWrongWithALoadBalancer(t *testing.T) {
	const here = "baton.yaml:12: endpoints[0]."
	for name, tt := range map[string]struct {
		block string
		want  []string
	}{
		"a whole HAProxy":             {"haproxy: {sockets: [/run/haproxy/admin.sock, '10.77.0.60:9999'], backend: write, server: current, shutdown_sessions: false}", nil},
		"one of a witness":            {"nodes: [w1], haproxy: {sockets: [/run/haproxy/admin.sock], backend: write, servers: [db1=mysql1, db2=mysql2]}", nil},
		"a HAProxy without anything":  {"haproxy: {shutdown_sessions: true}", []string{here + "haproxy.sockets: is missing; write where the runtime API is, such as [/run/haproxy/admin.sock]", here + "haproxy.backend: is missing; write the name of the backend, such as mysql-write"}},
		"a HAProxy on nobody's hosts": {"nodes: [w1, db7], haproxy: {sockets: [/s], backend: b}", []string{here + `nodes[1]: "db7" is none of nodes:; did you mean db1?`}},
		"a HAProxy's odd parts": {"haproxy: {sockets: [lb1, /s, /s], backend: 'write; quit', servers: [db1, db2=, w1=x, db1=y, db2=y]}", []string{
			here + `haproxy.sockets[0]: "lb1" is neither a path nor an address with a port; write it like /run/haproxy/admin.sock or 10.77.0.60:9999`,
			here + "haproxy.sockets[2]: /s stands on line 12 already; name every HAProxy once",
			here + `haproxy.backend: "write; quit" is no name of a backend; write it as HAProxy's configuration has it`,
			here + `haproxy.servers[0]: "db1" does not say which node has which server; write it as db1=mysql1`,
			here + `haproxy.servers[1]: "db2=" does not say which node has which server; write it as db1=mysql1`,
			here + `haproxy.servers[2]: "w1" is no data node; use db1 or db2`,
			here + "haproxy.servers[4]: y stands on line 12 already; give every node a server of its own",
		}},
		"a whole nginx":            {"nodes: [w1], nginx: {file: /etc/nginx/baton/shop.conf, upstream: shop_primary, port: 80, pid_file: /run/x.pid, check: [nginx, -t], reload: [systemctl, reload, nginx]}", nil},
		"an nginx that is tried":   {"nginx: {file: /etc/nginx/baton/shop.conf, upstream: shop, through: 127.0.0.1:3306}", nil},
		"an nginx behind a socket": {"nginx: {file: /etc/nginx/baton/shop.conf, upstream: shop, through: /run/shop.sock}", nil},
		"an nginx that cannot be tried": {"nginx: {file: /etc/nginx/baton/shop.conf, upstream: shop, through: shop.sock}", []string{
			here + `nginx.through: "shop.sock" is neither an address with a port nor a path; write where nginx listens for that upstream, such as 127.0.0.1:3306`}},
		"an nginx for another service that is tried": {"nginx: {file: /etc/nginx/baton/shop.conf, upstream: shop, port: 80, through: 127.0.0.1:80}", []string{
			here + "nginx.through: a database server's greeting is waited for there, and the upstream leads to port 80; leave out one of through and port"}},
		"an nginx without anything": {"nginx: {port: 0}", []string{
			here + "nginx.file: is missing; name the file that nginx includes, such as /etc/nginx/baton/shop.conf",
			here + "nginx.upstream: is missing; name the upstream, such as shop_primary"}},
		"an nginx's odd parts": {"nginx: {file: /etc/nginx/nginx.conf, upstream: 'a; b', port: 70000, check: [nginx -t], reload: [systemctl reload nginx]}", []string{
			here + "nginx.file: is nginx's own configuration, and would be replaced; give a file that it includes, such as /etc/nginx/baton/shop.conf",
			here + `nginx.upstream: "a; b" is no name of an upstream; use letters, digits, _, . and -`,
			here + "nginx.port: 70000 is too much; write 0 to 65535",
			here + `nginx.check: "nginx -t" is one word with spaces in it, and no shell takes it apart; write [nginx, -t]`,
			here + `nginx.reload: "systemctl reload nginx" is one word with spaces in it, and no shell takes it apart; write [systemctl, reload, nginx]`}},
		"a whole ProxySQL": {"proxysql: {admins: ['10.77.0.60:6032', '[fd77::61]:6032'], user: baton, password_file: p, writer_hostgroup: 10, reader_hostgroup: 20, primary_reads: false, servers: [db1=mysql1.example.org, db2=192.0.2.2], save_to_disk: false}", nil},
		"one over TLS":     {"proxysql: {admins: ['10.77.0.60:6032'], user: baton, password_file: p, encrypted: true, any_name: true, tls: {ca: proxysql-ca.pem}}", nil},
		"a ProxySQL's odd TLS": {"proxysql: {admins: ['10.77.0.60:6032'], user: baton, password_file: p, any_name: true, tls: {key: k}}", []string{
			here + "proxysql.any_name: would take a certificate from everybody whom some authority knows; give tls.ca, such as a copy of ProxySQL's proxysql-ca.pem",
			here + "proxysql.tls: nothing is encrypted; add encrypted: true, or remove tls and any_name",
			here + "proxysql.tls: a certificate and its key belong together; give both tls.cert and tls.key, or neither",
		}},
		"one of each host":       {"nodes: [w1], proxysql: {admins: ['127.0.0.1:6032'], user: baton, password_file: p}", nil},
		"a ProxySQL without any": {"proxysql: {save_to_disk: true}", []string{here + "proxysql.admins: is missing; write where the admin interface is, such as ['10.77.0.60:6032']", here + "proxysql.user: ProxySQL lets nobody in without a user and a password; give both user and password_file"}},
		"a ProxySQL's odd parts": {"proxysql: {admins: [lb1, '10.0.0.1:0', '10.0.0.1:1', '10.0.0.1:1'], user: b, password_file: p, writer_hostgroup: -1, reader_hostgroup: 4294967296, servers: [db1, db2='a b', w1=x, db1=y, db2=y]}", []string{
			here + `proxysql.admins[0]: "lb1" is no address with a port; write it like 10.77.0.60:6032`,
			here + `proxysql.admins[1]: "10.0.0.1:0" is no address with a port; write it like 10.77.0.60:6032`,
			here + "proxysql.admins[3]: 10.0.0.1:1 stands on line 12 already; name every ProxySQL once",
			here + "proxysql.writer_hostgroup: -1 is too little; write 0 to 2147483647",
			here + "proxysql.reader_hostgroup: 4294967296 is too much; write 0 to 2147483647",
			here + `proxysql.servers[0]: "db1" does not say which node has which hostname; write it as db1=mysql1.example.org`,
			here + `proxysql.servers[1]: "'a b'" is no hostname; write it as mysql_servers has it`,
			here + `proxysql.servers[2]: "w1" is no data node; use db1 or db2`,
			here + "proxysql.servers[4]: y stands on line 12 already; give every node a hostname of its own",
			here + "proxysql.servers[4]: db2 stands on line 12 already; name every node once",
		}},
		"readers who are writers": {"proxysql: {admins: ['10.0.0.1:1'], user: b, password_file: p, writer_hostgroup: 7, reader_hostgroup: 7}", []string{
			here + "proxysql.reader_hostgroup: 7 is the writers' hostgroup; give the hostgroup of the replicas, or leave it out"}},
		"a whole MySQL Router":                       {"nodes: [w1], timeout: 10s, mysqlrouter: {file: /etc/mysqlrouter/shop.conf, routing: shop_primary, listen: '[::1]:6446', pid_file: /run/x.pid, restart: [systemctl, restart, mysqlrouter], user: u, password_file: p}", nil},
		"a MySQL Router that nobody is asked behind": {"timeout: 10s, mysqlrouter: {file: /etc/mysqlrouter/shop.conf, routing: shop, listen: '127.0.0.1:6446'}", nil},
		"a MySQL Router without anything": {"mysqlrouter: {user: u}", []string{
			here + "mysqlrouter.file: is missing; name the file with which the router is started, such as /etc/mysqlrouter/shop.conf",
			here + "mysqlrouter.routing: is missing; write the section's key, such as shop_primary for [routing:shop_primary]",
			here + "mysqlrouter.listen: is missing; write where clients reach the section, such as 127.0.0.1:6446",
			here + "mysqlrouter.user: a user and a password belong together; give both user and password_file, or neither",
			"baton.yaml:12: warning: endpoints[0].mysqlrouter: a restart that takes longer than 2s is taken back, again and again; give the endpoint a timeout such as 10s"}},
		"a MySQL Router's odd parts": {"timeout: 10s, mysqlrouter: {file: /etc/mysqlrouter/mysqlrouter.conf, routing: 'routing:shop', listen: 'localhost:6446', restart: [systemctl restart mysqlrouter]}", []string{
			here + "mysqlrouter.file: is MySQL Router's own configuration, and would be replaced; give a file that it is started with beside that (--extra-config), such as /etc/mysqlrouter/shop.conf",
			here + `mysqlrouter.routing: "routing:shop" is no key of a section; write what stands after routing: , of letters, digits and _`,
			here + `mysqlrouter.listen: "localhost:6446" is no address with a port; write it like 127.0.0.1:6446`,
			here + `mysqlrouter.restart: "systemctl restart mysqlrouter" is one word with spaces in it, and no shell takes it apart; write [systemctl, restart, mysqlrouter]`}},
		"a HAProxy of both kinds": {"haproxy: {sockets: [/s], backend: b, server: c, servers: [db1=x]}", []string{
			here + "haproxy.servers: the backend's one server is named already; give server for one whose address is changed, or servers for one of each node"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantFindings(t, good+"endpoints:\n  - {name: lb, "+tt.block+"}\n", tt.want...)
		})
	}
}

func TestWhatAProxyNamesIsLookedForOnThisHost(t *testing.T) {
	dir := t.TempDir()
	cfg := mustParse(t, good+`endpoints:
  - {name: a, nginx: {file: `+dir+`/shop.conf, upstream: shop, check: ["true"]}}
  - {name: b, nginx: {file: /dev/null/x/shop.conf, upstream: shop, check: [no-such-nginx, -t], reload: [no-such-reload]}}
  - {name: c, mysqlrouter: {file: `+dir+`/shop.conf, routing: shop, listen: '127.0.0.1:6446', restart: ["true"]}}
  - {name: d, mysqlrouter: {file: /dev/null/x/shop.conf, routing: shop, listen: '127.0.0.1:6446', restart: [no-such-restart]}}
  - {name: e, nodes: [db2], mysqlrouter: {file: /dev/null/x/shop.conf, routing: shop, listen: '127.0.0.1:6446', restart: [no-such-restart]}}
`)
	const want = `baton.yaml:13: warning: endpoints[1].nginx.check: there is no command no-such-nginx; install it, or give its path
baton.yaml:13: warning: endpoints[1].nginx.reload: there is no command no-such-reload; install it, or give its path
baton.yaml:13: warning: endpoints[1].nginx.file: /dev/null is no directory; give another path
baton.yaml:15: warning: endpoints[3].mysqlrouter.restart: there is no command no-such-restart; install it, or give its path
baton.yaml:15: warning: endpoints[3].mysqlrouter.file: /dev/null is no directory; give another path`
	if got := cfg.checkProxies().String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
