package config

import (
	"fmt"
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

// endpointBlock is one kind of endpoint: adding a kind is adding a file with its
// struct, its keys and what is wrong with it, and a line in endpointBlocks.
type endpointBlock struct {
	kind  string // the block's key
	keys  func() []Key
	judge func(l *loader, path string, e Endpoint)
	// secret says which key of the block names the file of its password; nil: none.
	secret func(e Endpoint) (key, file string)
}

// endpointBlocks are the blocks of which an endpoint has one, in the order of the
// documentation.
func endpointBlocks() []endpointBlock {
	return []endpointBlock{
		{"etcd", etcdKeyKeys, (*loader).judgeEtcdKey, func(e Endpoint) (string, string) { return "password_file", e.Etcd.PasswordFile }},
	}
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
