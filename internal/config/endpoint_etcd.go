package config

import (
	"fmt"
	"net/url"
	"strings"
)

// EtcdKey is a key in an etcd that belongs to somebody else.
type EtcdKey struct {
	Endpoints    []string `key:"endpoints"`
	Key          string   `key:"key"`
	User         string   `key:"user"`
	PasswordFile string   `key:"password_file"`
	TLS          TLS      `key:"tls"`
}

func etcdKeyKeys() []Key {
	return append([]Key{
		key("endpoints[].etcd.endpoints", Words).same().like("[https://10.0.0.1:2379]").
			doc("A key in an etcd of your own: its client URLs. The value is JSON: `{\"cluster\": …, \"epoch\": …, \"node\": …, \"address\": …, \"port\": …}`. It is written in one transaction that refuses an older epoch."),
		key("endpoints[].etcd.key", Text).same().like("/services/shop/primary").
			doc("The key."),
		key("endpoints[].etcd.user", Text).same().like("baton").
			doc("Name for its authentication; empty: none."),
		key("endpoints[].etcd.password_file", File).same().
			doc("The file that holds that user's password."),
	}, tlsKeys("endpoints[].etcd")...)
}

// tlsKeys are those with which a server of somebody else's is reached over TLS.
func tlsKeys(block string) []Key {
	return []Key{
		key(block+".tls.ca", File).doc("The authority that signed its certificates."),
		key(block+".tls.cert", File).doc("A client certificate for it."),
		key(block+".tls.key", File).doc("The key of that certificate."),
	}
}

func (l *loader) judgeEtcdKey(block string, endpoint Endpoint) {
	e := endpoint.Etcd
	if len(e.Endpoints) == 0 {
		l.report(block+".endpoints", "is missing", "write the URLs of the etcd, such as [https://10.0.0.1:2379]")
	}
	for i, raw := range e.Endpoints {
		l.judgeURL(at(block+".endpoints", i, ""), raw, "an etcd", "https://10.0.0.1:2379")
	}
	if strings.TrimSpace(e.Key) == "" {
		l.report(block+".key", "is missing", "write the key, such as /services/"+l.cfg.Cluster+"/primary")
	}
	if (e.User == "") != (e.PasswordFile == "") {
		l.report(block+".user", "a user and a password belong together", "give both user and password_file, or neither")
	}
	l.judgeTLS(block, e.TLS)
}

// judgeURL: it is one, of a server that is asked by HTTP, and holds no password.
func (l *loader) judgeURL(path, raw, whose, like string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		l.report(path, fmt.Sprintf("%q is no URL of %s", redacted(raw), whose), "write it as "+like)
	case u.User != nil:
		l.report(path, "a password in a URL would be shown to everybody", "write it without, as "+like+"; secrets are in files")
	}
}

func (l *loader) judgeTLS(block string, t TLS) {
	if (t.Cert == "") != (t.Key == "") {
		l.report(block+".tls", "a certificate and its key belong together", "give both tls.cert and tls.key, or neither")
	}
}
