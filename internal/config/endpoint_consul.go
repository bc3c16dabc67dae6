package config

import "strings"

// ConsulKey is a key in a Consul.
type ConsulKey struct {
	URLs       []string `key:"urls"`
	Key        string   `key:"key"`
	TokenFile  string   `key:"token_file"`
	Datacenter string   `key:"datacenter"`
	TLS        TLS      `key:"tls"`
}

func consulKeys() []Key {
	return append([]Key{
		key("endpoints[].consul.urls", Words).same().like("[http://127.0.0.1:8500]").
			doc("A key in a Consul: where its HTTP API is, tried one after the other. The value is that of etcd. It is written by check-and-set, and refuses an older epoch."),
		key("endpoints[].consul.key", Text).same().like("services/shop/primary").
			doc("The key, without a slash in front."),
		key("endpoints[].consul.token_file", File).same().
			doc("The file that holds the token, which needs key:read and key:write of that key; empty: none."),
		key("endpoints[].consul.datacenter", Text).same().like("dc1").
			doc("The datacenter whose key it is; empty: that of the server asked."),
	}, tlsKeys("endpoints[].consul")...)
}

func (l *loader) judgeConsul(block string, endpoint Endpoint) {
	e := endpoint.Consul
	if len(e.URLs) == 0 {
		l.report(block+".urls", "is missing", "write where Consul's HTTP API is, such as [http://127.0.0.1:8500]")
	}
	for i, raw := range e.URLs {
		l.judgeURL(at(block+".urls", i, ""), raw, "a Consul", "http://127.0.0.1:8500")
	}
	switch {
	case strings.TrimSpace(e.Key) == "":
		l.report(block+".key", "is missing", "write the key, such as services/"+l.cfg.Cluster+"/primary")
	case strings.HasPrefix(e.Key, "/"):
		l.report(block+".key", "Consul's keys do not begin with a slash", "write "+strings.TrimLeft(e.Key, "/"))
	}
	l.judgeTLS(block, e.TLS)
}
