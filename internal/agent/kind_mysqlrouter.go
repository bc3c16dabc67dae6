package agent

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/mysqlrouter"
)

func openMySQLRouter(o opening) (endpoint.Endpoint, error) {
	m := o.MySQLRouter
	listen, err := netip.ParseAddrPort(m.Listen)
	if err != nil {
		return nil, fmt.Errorf("where MySQL Router listens: %w", err)
	}
	return mysqlrouter.Open(o.Name, mysqlrouter.Options{File: m.File, Section: m.Routing, Listen: listen, PIDFile: m.PIDFile, Restart: m.RestartCommand(),
		User: m.User, Password: o.secret.Reveal(), Limit: o.Timeout, Note: filepath.Join(o.config.StateDir(), "endpoints", o.Name+".json"),
		Cluster: o.config.Cluster, Servers: serversOf(o.config)})
}
