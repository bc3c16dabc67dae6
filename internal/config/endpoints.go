package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Endpoint is one more thing that clients connect through, beside the virtual
// addresses: whichever node is primary keeps it leading to itself. Exactly one of
// its blocks is written, and is its kind.
type Endpoint struct {
	Name    string        `key:"name"`
	Timeout time.Duration `key:"timeout"`
	Check   time.Duration `key:"check"`
	Nodes   []string      `key:"nodes"`
	Etcd    EtcdKey       `key:"etcd"`

	Consul    ConsulKey     `key:"consul"`
	ZooKeeper ZooKeeperNode `key:"zookeeper"`
	Webhook   Webhook       `key:"webhook"`
	DNS       DNSName       `key:"dns"`
	Template  TemplateFile  `key:"template"`
	HAProxy   HAProxy       `key:"haproxy"`
	Nginx     Nginx         `key:"nginx"`
	ProxySQL  ProxySQL      `key:"proxysql"`

	MySQLRouter MySQLRouter `key:"mysqlrouter"`

	Route53    CloudName `key:"route53"`
	Cloudflare CloudName `key:"cloudflare"`
	AliDNS     CloudName `key:"alidns"`
	DNSPod     CloudName `key:"dnspod"`

	AWSElasticIP   CloudAddress     `key:"aws_eip"`
	AWSSecondaryIP CloudSecondaryIP `key:"aws_secondary_ip"`
	AWSRoute       CloudRoute       `key:"aws_route"`
	AliyunEIP      CloudAddress     `key:"aliyun_eip"`
	AliyunHAVIP    CloudAddress     `key:"aliyun_havip"`
	TencentHAVIP   CloudAddress     `key:"tencent_havip"`
	FRR            FRR              `key:"frr"`
	BGP            BGP              `key:"bgp"`
	Route          Routes           `key:"route"`
}

// endpointBlock is one kind of endpoint: adding a kind is adding a file with its
// struct, its keys and what is wrong with it, and a line in endpointBlocks.
type endpointBlock struct {
	kind  string // the block's key
	hosts hosts
	keys  func() []Key
	judge func(l *loader, path string, e Endpoint)
	// secret says which key of the block names the file of its password; nil: none.
	secret func(e Endpoint) (key, file string)
}

// hosts says whose agents lead an endpoint of a kind.
type hosts int

const (
	// byPrimary is one thing that is reached from everywhere, such as a key in a
	// store: whoever is primary leads it to himself.
	byPrimary hosts = iota
	// byEach is a thing that every host has for itself, such as a proxy's file: the
	// agents of nodes:, all if there are none, lead it to the record's primary.
	byEach
	// byEither is byEach if nodes: names any, and byPrimary if not.
	byEither
)

// endpointBlocks are the blocks of which an endpoint has one, in the order of the
// documentation.
func endpointBlocks() []endpointBlock {
	return append([]endpointBlock{
		{"etcd", byPrimary, etcdKeyKeys, (*loader).judgeEtcdKey, func(e Endpoint) (string, string) { return "password_file", e.Etcd.PasswordFile }},
		{"consul", byPrimary, consulKeys, (*loader).judgeConsul, func(e Endpoint) (string, string) { return "token_file", e.Consul.TokenFile }},
		{"zookeeper", byPrimary, zooKeeperKeys, (*loader).judgeZooKeeper, func(e Endpoint) (string, string) { return "password_file", e.ZooKeeper.PasswordFile }},
		{"webhook", byPrimary, webhookKeys, (*loader).judgeWebhook, func(e Endpoint) (string, string) { return "secret_file", e.Webhook.SecretFile }},
		{"dns", byPrimary, dnsNameKeys, (*loader).judgeDNSName, func(e Endpoint) (string, string) { return "secret_file", e.DNS.SecretFile }},
		{"frr", byPrimary, frrKeys, (*loader).judgeFRR, nil},
		{"bgp", byPrimary, bgpKeys, (*loader).judgeBGP, nil},
		{"route", byEach, routeKeys, (*loader).judgeRoutes, nil},
		{"template", byEach, templateKeys, (*loader).judgeTemplateFile, nil},
		{"haproxy", byEither, haproxyKeys, (*loader).judgeHAProxy, nil},
		{"proxysql", byEither, proxysqlKeys, (*loader).judgeProxySQL, func(e Endpoint) (string, string) { return "password_file", e.ProxySQL.PasswordFile }},
		{"nginx", byEach, nginxKeys, (*loader).judgeNginx, nil},
		{"mysqlrouter", byEach, mysqlRouterKeys, (*loader).judgeMySQLRouter, func(e Endpoint) (string, string) { return "password_file", e.MySQLRouter.PasswordFile }},
	}, cloudBlocks()...)
}

// KeptFor is for how long clients may go on with what the i-th endpoint said before.
func (c *Config) KeptFor(i int) time.Duration {
	e, kind := c.Endpoints[i], c.KindOf(i)
	if kind == "dns" {
		return e.DNS.TTL
	}
	for _, v := range cloudNames() {
		if v.kind == kind {
			return v.of(e).TTL
		}
	}
	return 0
}

// EndpointKinds names every kind of endpoint that a configuration can have.
func EndpointKinds() []string {
	var kinds []string
	for _, b := range endpointBlocks() {
		kinds = append(kinds, b.kind)
	}
	return kinds
}

// blockOf is the block of the i-th endpoint, the first if there are several.
func (c *Config) blockOf(i int) (endpointBlock, bool) {
	for _, b := range endpointBlocks() {
		if _, said := c.lines[at("endpoints", i, b.kind)]; said {
			return b, true
		}
	}
	return endpointBlock{}, false
}

// KindOf says which of its blocks the i-th endpoint has; empty if none.
func (c *Config) KindOf(i int) string {
	b, _ := c.blockOf(i)
	return b.kind
}

// EachHasItsOwn reports whether the i-th endpoint is a thing that hosts have each for
// themselves, so that their agents lead it, and not the primary's alone.
func (c *Config) EachHasItsOwn(i int) bool {
	b, _ := c.blockOf(i)
	return b.hosts == byEach || b.hosts == byEither && len(c.Endpoints[i].Nodes) > 0
}

// LeadsEndpoint reports whether this node's agent leads the i-th endpoint, now or
// whenever it is primary.
func (c *Config) LeadsEndpoint(i int) bool {
	if !c.EachHasItsOwn(i) {
		return !c.Witness()
	}
	on := c.Endpoints[i].Nodes
	return len(on) == 0 || slices.Contains(on, string(c.Node))
}

func centralKeys() []Key {
	keys := []Key{
		key("endpoints", Block).same().
			doc("What clients connect through beside virtual addresses: names, load balancers, values that applications watch. Whichever node is primary keeps each of them leading to itself, all at the same time, and goes on looking. No switch waits for them."),
		key("endpoints[].name", Text).required("give the endpoint a name").same().like("app-config").
			doc("Its name in `baton status`, the log and the timeline, unique in the cluster."),
		key("endpoints[].timeout", Duration).byDefault("2s").between("10ms", "5m").same().
			doc("Deadline of one call. After one that failed comes the next, with pauses from 100 ms up to check."),
		key("endpoints[].check", Duration).byDefault("10s").between("100ms", "1h").same().
			doc("How often it is looked whether it still leads to the primary. What somebody else has changed is put right."),
		key("endpoints[].nodes", Words).same().like("[w1]").
			doc("Of what every host has for itself, such as a proxy's file: the nodes whose agents keep it. Each of them leads it to the primary of the record, whoever that is; a witness does, too. Empty: all nodes."),
	}
	for _, b := range endpointBlocks() {
		keys = append(keys, b.keys()...)
	}
	return keys
}

func (l *loader) judgeEndpoints() {
	names := map[string]int{}
	for i, e := range l.cfg.Endpoints {
		path := at("endpoints", i, "name")
		l.once(names, path, e.Name, "give every endpoint its own name")
		l.judgeEndpointNodes(i, e)
		if e.Name != "" && !nameShape.MatchString(e.Name) {
			l.report(path, fmt.Sprintf("%q is no name for an endpoint", e.Name), nameMend)
		}
		var kinds []string
		for _, b := range endpointBlocks() {
			path := at("endpoints", i, b.kind)
			if !l.said(path) {
				continue
			}
			kinds = append(kinds, b.kind)
			b.judge(l, path, e)
		}
		switch len(kinds) {
		case 0:
			l.report(at("endpoints", i, ""), "does not say what it is", "add a block "+orList(EndpointKinds()))
		case 1:
		default:
			l.report(at("endpoints", i, kinds[1]), "an endpoint is one thing, and there is "+kinds[0]+" already", "make it an endpoint of its own")
		}
	}
}

// judgeEndpointNodes: who leads what a host has for itself.
func (l *loader) judgeEndpointNodes(i int, e Endpoint) {
	if b, ok := l.cfg.blockOf(i); ok && b.hosts == byPrimary && len(e.Nodes) > 0 {
		l.report(at("endpoints", i, "nodes"), fmt.Sprintf("%s is led by whoever is primary", b.kind), "remove it: no host has it for itself")
		return
	}
	var known []string
	for _, n := range l.cfg.Nodes {
		known = append(known, string(n.Name))
	}
	for j, name := range e.Nodes {
		if _, ok := l.cfg.NodeNamed(cluster.NodeName(name)); ok {
			continue
		}
		mend := "use " + orList(known)
		if near, ok := nearest(name, known); ok {
			mend = fmt.Sprintf("did you mean %s?", near)
		}
		l.report(at(at("endpoints", i, "nodes"), j, ""), fmt.Sprintf("%q is none of nodes:", name), mend)
	}
}
