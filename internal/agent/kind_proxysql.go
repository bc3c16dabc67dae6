package agent

import (
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/proxysql"
)

func openProxySQL(o opening) (endpoint.Endpoint, error) {
	p := o.ProxySQL
	named, hosts := p.HostNames(), map[cluster.NodeName]proxysql.Host{}
	for n, at := range serverAddresses(o.config) {
		h := proxysql.Host{Name: at.Addr().String(), Port: int(at.Port())}
		if name, ok := named[n]; ok {
			h.Name = name
		}
		hosts[n] = h
	}
	with := proxysql.Options{Admins: p.Admins, User: p.User, Password: o.secret.Reveal(), AnyName: p.AnyName, Writers: p.Writers, Readers: p.Readers,
		PrimaryReads: p.PrimaryReads, Save: p.Save, Hosts: hosts}
	if p.Encrypted {
		var err error
		if with.TLS, err = clientTLS(p.TLS); err != nil {
			return nil, err
		}
	}
	return proxysql.Open(o.Name, with), nil
}
