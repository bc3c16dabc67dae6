package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
)

// Nginx is an upstream of the nginx of each host.
type Nginx struct {
	File     string   `key:"file"`
	Upstream string   `key:"upstream"`
	Port     int      `key:"port"`
	PIDFile  string   `key:"pid_file"`
	Check    []string `key:"check"`
	Reload   []string `key:"reload"`
	Through  string   `key:"through"`
}

func nginxKeys() []Key {
	return []Key{
		key("endpoints[].nginx.file", File).same().like("/etc/nginx/baton/shop.conf").
			doc("An upstream in the nginx of every host of nodes:, be it in a stream or an http block: the file that holds it, which nginx's configuration includes there. It is replaced in one step and loaded; what nginx refuses is taken back."),
		key("endpoints[].nginx.upstream", Text).same().like("shop_primary").
			doc("The upstream's name, for proxy_pass."),
		key("endpoints[].nginx.port", Integer).byDefault("0").between("0", "65535").of("TCP port").same().
			doc("The port on the primary's host that is led to. 0: that of the database server."),
		key("endpoints[].nginx.pid_file", File).byDefault("/run/nginx.pid").same().
			doc("The file with the number of nginx's process, which is told to load (SIGHUP), and whose workers are looked at."),
		key("endpoints[].nginx.check", Words).same().like("[/usr/local/nginx/sbin/nginx, -t, -q]").
			doc("The command that says whether nginx would take its configuration. No shell. Empty: nginx -t -q."),
		key("endpoints[].nginx.reload", Words).same().like("[systemctl, reload, nginx]").
			doc("A command that has it loaded, in place of the signal."),
		key("endpoints[].nginx.through", Text).same().like("127.0.0.1:3306").
			doc("Where this nginx takes clients of that upstream: an address with a port, or the path of a socket. After every switch Baton connects there once and waits for a database server's greeting, which the timeline shows. The server counts that as one aborted connection. Empty: the file and nginx's workers are looked at, and nobody connects."),
	}
}

var nginxName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func (l *loader) judgeNginx(block string, endpoint Endpoint) {
	n := endpoint.Nginx
	switch {
	case n.File == "":
		l.report(block+".file", "is missing", "name the file that nginx includes, such as /etc/nginx/baton/shop.conf")
	case filepath.Base(n.File) == "nginx.conf":
		l.report(block+".file", "is nginx's own configuration, and would be replaced", "give a file that it includes, such as /etc/nginx/baton/shop.conf")
	}
	switch {
	case n.Upstream == "":
		l.report(block+".upstream", "is missing", "name the upstream, such as shop_primary")
	case !nginxName.MatchString(n.Upstream):
		l.report(block+".upstream", fmt.Sprintf("%q is no name of an upstream", n.Upstream), "use letters, digits, _, . and -")
	}
	switch _, err := netip.ParseAddrPort(n.Through); {
	case n.Through == "":
	case err != nil && !filepath.IsAbs(n.Through):
		l.report(block+".through", fmt.Sprintf("%q is neither an address with a port nor a path", n.Through), "write where nginx listens for that upstream, such as 127.0.0.1:3306")
	case n.Port != 0:
		l.report(block+".through", fmt.Sprintf("a database server's greeting is waited for there, and the upstream leads to port %d", n.Port), "leave out one of through and port")
	}
	l.judgeWords(block+".check", n.Check)
	l.judgeWords(block+".reload", n.Reload)
}

// checkProxies judges what the nginx or the MySQL Router of this node names on this host.
// None of it keeps an agent from starting: the cluster runs without that proxy.
func (c *Config) checkProxies() Findings {
	var found Findings
	for i, e := range c.Endpoints {
		if !c.LeadsEndpoint(i) {
			continue
		}
		kind, file := c.KindOf(i), ""
		block := at("endpoints", i, kind)
		switch kind {
		case "nginx":
			file = e.Nginx.File
			found = append(found, c.checkCommand(block+".check", e.Nginx.CheckCommand())...)
			found = append(found, c.checkCommand(block+".reload", e.Nginx.Reload)...)
		case "mysqlrouter":
			file = e.MySQLRouter.File
			found = append(found, c.checkCommand(block+".restart", e.MySQLRouter.RestartCommand())...)
		default:
			continue
		}
		if what, mend := checkDirectory(filepath.Dir(file)); what != "" {
			found = append(found, c.finding(block+".file", what, mend))
		}
	}
	for i := range found {
		found[i].Severity = Warning
	}
	return found
}

// CheckCommand says whether nginx would take its configuration.
func (n Nginx) CheckCommand() []string {
	if len(n.Check) > 0 {
		return n.Check
	}
	return []string{"nginx", "-t", "-q"}
}
