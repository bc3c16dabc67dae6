package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// MySQLRouter is a routing section of the MySQL Router of each host.
type MySQLRouter struct {
	File         string   `key:"file"`
	Routing      string   `key:"routing"`
	Listen       string   `key:"listen"`
	PIDFile      string   `key:"pid_file"`
	Restart      []string `key:"restart"`
	User         string   `key:"user"`
	PasswordFile string   `key:"password_file"`
}

func mysqlRouterKeys() []Key {
	return []Key{
		key("endpoints[].mysqlrouter.file", File).same().like("/etc/mysqlrouter/shop.conf").
			doc("A section of the MySQL Router of every host of nodes:, without metadata cache: the file with its destinations, with which the router is started beside its own configuration (--extra-config). It is replaced in one step, and the router restarted, as it reads destinations at no other time; a file with which it does not come up is taken back."),
		key("endpoints[].mysqlrouter.routing", Text).same().like("shop_primary").
			doc("The section's key: shop_primary is [routing:shop_primary]. Everything but its destinations and its routing_strategy stands in the router's own configuration."),
		key("endpoints[].mysqlrouter.listen", Text).same().like("127.0.0.1:6446").
			doc("Where clients of this host reach that section: address and port."),
		key("endpoints[].mysqlrouter.pid_file", File).byDefault("/run/mysqlrouter/mysqlrouter.pid").same().
			doc("The file with the number of the router's process (pid_file in its [DEFAULT])."),
		key("endpoints[].mysqlrouter.restart", Words).same().like("[systemctl, restart, mysqlrouter@shop]").
			doc("The command that restarts it. No shell. Empty: systemctl restart mysqlrouter."),
		key("endpoints[].mysqlrouter.user", Text).same().like("baton_router").
			doc("An account of the database servers, which needs no privileges: with it Baton asks through the router, and at the primary, who answers. Empty: nobody is asked, and only the router's process is looked at."),
		key("endpoints[].mysqlrouter.password_file", File).same().
			doc("The file that holds that account's password."),
	}
}

var routingName = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

func (l *loader) judgeMySQLRouter(block string, endpoint Endpoint) {
	m := endpoint.MySQLRouter
	switch base := filepath.Base(m.File); {
	case m.File == "":
		l.report(block+".file", "is missing", "name the file with which the router is started, such as /etc/mysqlrouter/shop.conf")
	case strings.TrimSuffix(base, filepath.Ext(base)) == "mysqlrouter":
		l.report(block+".file", "is MySQL Router's own configuration, and would be replaced", "give a file that it is started with beside that (--extra-config), such as /etc/mysqlrouter/shop.conf")
	}
	switch {
	case m.Routing == "":
		l.report(block+".routing", "is missing", "write the section's key, such as shop_primary for [routing:shop_primary]")
	case !routingName.MatchString(m.Routing):
		l.report(block+".routing", fmt.Sprintf("%q is no key of a section", m.Routing), "write what stands after routing: , of letters, digits and _")
	}
	if on, err := netip.ParseAddrPort(m.Listen); m.Listen == "" {
		l.report(block+".listen", "is missing", "write where clients reach the section, such as 127.0.0.1:6446")
	} else if err != nil || on.Port() == 0 {
		l.report(block+".listen", fmt.Sprintf("%q is no address with a port", m.Listen), "write it like 127.0.0.1:6446")
	}
	l.judgeWords(block+".restart", m.Restart)
	if limit := endpoint.Timeout; limit > 0 && limit < routerRestarts {
		l.warn(block, fmt.Sprintf("a restart that takes longer than %s is taken back, again and again", shortDuration(limit)), "give the endpoint a timeout such as 10s")
	}
	if (m.User == "") != (m.PasswordFile == "") {
		l.report(block+".user", "a user and a password belong together", "give both user and password_file, or neither")
	}
}

// routerRestarts is what a restart of MySQL Router may take on a host with much to do.
const routerRestarts = 5 * time.Second

// RestartCommand restarts the router.
func (m MySQLRouter) RestartCommand() []string {
	if len(m.Restart) > 0 {
		return m.Restart
	}
	return []string{"systemctl", "restart", "mysqlrouter"}
}
