package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Endpoint is one more thing that clients connect through, beside the virtual
// addresses: whichever node is primary keeps it leading to itself. Exactly one of
// its blocks is written, and is its kind.
type Endpoint struct {
	Name    string        `key:"name"`
	Timeout time.Duration `key:"timeout"`
	Check   time.Duration `key:"check"`
	Etcd    EtcdKey       `key:"etcd"`
}

// EtcdKey is a key in an etcd that belongs to somebody else.
type EtcdKey struct {
	Endpoints    []string `key:"endpoints"`
	Key          string   `key:"key"`
	User         string   `key:"user"`
	PasswordFile string   `key:"password_file"`
	TLS          TLS      `key:"tls"`
}

// endpointKinds are the blocks of which an endpoint has one, in the order of the
// documentation.
func endpointKinds() []string { return []string{"etcd"} }

// KindOf says which of its blocks the i-th endpoint has; empty if none.
func (c *Config) KindOf(i int) string {
	for _, k := range endpointKinds() {
		if _, said := c.lines[at("endpoints", i, k)]; said {
			return k
		}
	}
	return ""
}

func centralKeys() []Key {
	return []Key{
		key("endpoints", Block).same().
			doc("What clients connect through beside virtual addresses: names, load balancers, values that applications watch. Whichever node is primary keeps each of them leading to itself, all at the same time, and goes on looking. No switch waits for them."),
		key("endpoints[].name", Text).required("give the endpoint a name").same().like("app-config").
			doc("Its name in `baton status`, the log and the timeline, unique in the cluster."),
		key("endpoints[].timeout", Duration).byDefault("2s").between("10ms", "5m").same().
			doc("Deadline of one call. After one that failed comes the next, with pauses from 100 ms up to check."),
		key("endpoints[].check", Duration).byDefault("10s").between("100ms", "1h").same().
			doc("How often it is looked whether it still leads to the primary. What somebody else has changed is put right."),
		key("endpoints[].etcd.endpoints", Words).same().like("[https://10.0.0.1:2379]").
			doc("A key in an etcd of your own: its client URLs. The value is JSON: `{\"cluster\": …, \"epoch\": …, \"node\": …, \"address\": …, \"port\": …}`. It is written in one transaction that refuses an older epoch."),
		key("endpoints[].etcd.key", Text).same().like("/services/shop/primary").
			doc("The key."),
		key("endpoints[].etcd.user", Text).same().like("baton").
			doc("Name for its authentication; empty: none."),
		key("endpoints[].etcd.password_file", File).same().
			doc("The file that holds that user's password."),
		key("endpoints[].etcd.tls.ca", File).doc("The authority that signed its certificates."),
		key("endpoints[].etcd.tls.cert", File).doc("A client certificate for it."),
		key("endpoints[].etcd.tls.key", File).doc("The key of that certificate."),
	}
}

func (l *loader) judgeEndpoints() {
	names := map[string]int{}
	for i, e := range l.cfg.Endpoints {
		path := at("endpoints", i, "name")
		l.once(names, path, e.Name, "give every endpoint its own name")
		if e.Name != "" && !nameShape.MatchString(e.Name) {
			l.report(path, fmt.Sprintf("%q is no name for an endpoint", e.Name), nameMend)
		}
		var kinds []string
		for _, k := range endpointKinds() {
			if l.said(at("endpoints", i, k)) {
				kinds = append(kinds, k)
			}
		}
		switch len(kinds) {
		case 0:
			l.report(at("endpoints", i, ""), "does not say what it is", "add a block "+orList(endpointKinds()))
		case 1:
		default:
			l.report(at("endpoints", i, kinds[1]), "an endpoint is one thing, and there is "+kinds[0]+" already", "make it an endpoint of its own")
		}
		if slices.Contains(kinds, "etcd") {
			l.judgeEtcdKey(at("endpoints", i, "etcd"), e.Etcd)
		}
	}
}

func (l *loader) judgeEtcdKey(block string, e EtcdKey) {
	if len(e.Endpoints) == 0 {
		l.report(block+".endpoints", "is missing", "write the URLs of the etcd, such as [https://10.0.0.1:2379]")
	}
	for i, raw := range e.Endpoints {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			l.report(at(block+".endpoints", i, ""), fmt.Sprintf("%q is no URL of an etcd", raw), "write it as https://10.0.0.1:2379")
		}
	}
	if strings.TrimSpace(e.Key) == "" {
		l.report(block+".key", "is missing", "write the key, such as /services/"+l.cfg.Cluster+"/primary")
	}
	if (e.User == "") != (e.PasswordFile == "") {
		l.report(block+".user", "a user and a password belong together", "give both user and password_file, or neither")
	}
	if (e.TLS.Cert == "") != (e.TLS.Key == "") {
		l.report(block+".tls", "a certificate and its key belong together", "give both tls.cert and tls.key, or neither")
	}
}
