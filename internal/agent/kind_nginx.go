package agent

import (
	"path/filepath"

	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/nginx"
)

func openNginx(o opening) (endpoint.Endpoint, error) {
	n := o.Nginx
	return nginx.Open(o.Name, nginx.Options{File: n.File, Upstream: n.Upstream, Port: n.Port, PIDFile: n.PIDFile, Check: n.CheckCommand(), Reload: n.Reload, Through: n.Through, Wall: o.wall,
		Limit: o.Timeout, Note: filepath.Join(o.config.StateDir(), "endpoints", o.Name+".json"), Cluster: o.config.Cluster, Servers: serversOf(o.config)})
}
