package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// judge finds what each value alone does not show: combinations that cannot
// work, or not as a person may think.
func (l *loader) judge() {
	l.judgeNames()
	l.judgeMembers()
	l.judgeRoles()
	l.judgeSites()
	l.judgeStore()
	l.judgeServers()
	l.judgeAddresses()
	l.judgeEndpoints()
	l.judgeHooks()
	l.judgeNotify()
	l.judgeDurability()
	l.judgeLease()
	l.judgeWaits()
	l.judgeDetection()
	l.judgeHealth()
	l.judgePreheat()
	l.judgeHTTP()
	l.judgeDNS()
	if r := l.cfg.Rejoin; l.cfg.Server.Flavor == MySQL {
		for key, m := range map[string]cluster.RejoinMethod{"rejoin.acknowledged": r.Acknowledged, "rejoin.unacknowledged": r.Unacknowledged} {
			if m == cluster.Rewind {
				l.report(key, "MySQL cannot undo transactions", "use reclone or hold")
			}
		}
	}
}

var nameShape = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

const nameMend = "use lower-case letters, digits and dashes, at most 32"

// maxSocket is how long the path of a unix socket may be: sun_path of unix(7)
// has room for 107 bytes and the final zero.
const maxSocket = 107

func (l *loader) judgeNames() {
	c := l.cfg
	if c.Cluster != "" && !nameShape.MatchString(c.Cluster) {
		l.report("cluster", fmt.Sprintf("%q is no name for a cluster", c.Cluster), nameMend)
	}
	for i, n := range c.Nodes {
		if n.Name != "" && !nameShape.MatchString(string(n.Name)) {
			l.report(at("nodes", i, "name"), fmt.Sprintf("%q is no name for a node", n.Name), nameMend)
		}
	}
	if _, ok := c.NodeNamed(c.Node); c.Node != "" && !ok && len(c.Nodes) > 0 {
		var known []string
		for _, n := range c.Nodes {
			known = append(known, string(n.Name))
		}
		mend := "use " + orList(known)
		if near, ok := nearest(string(c.Node), known); ok {
			mend = fmt.Sprintf("did you mean %s?", near)
		}
		l.report("node", fmt.Sprintf("%q is none of nodes:", c.Node), mend)
	}
	if s := c.Socket(); len(s) > maxSocket {
		l.report("run_dir", fmt.Sprintf("%s is too long for a unix socket, by %d bytes", s, len(s)-maxSocket), "choose a shorter directory")
	}
	for path, dir := range map[string]string{"data_dir": c.DataDir, "run_dir": c.RunDir} {
		if filepath.Clean(dir) == "/" {
			l.report(path, "is the root of the file system", "give Baton a directory of its own")
		}
	}
}

// judgeMembers: how many there are, and whether they differ.
func (l *loader) judgeMembers() {
	c := l.cfg
	data := 0
	for _, n := range c.Nodes {
		if n.Role == cluster.Data {
			data++
		}
	}
	switch n := len(c.Nodes); {
	case n == 0:
	case n == 1:
		l.report("nodes", "one node has nobody to take over", "three are the least: two with a server, and a witness")
	case n == 2:
		l.report("nodes", "two voters have no majority when one is lost", "add a third node, which may be a witness: - {name: w1, role: witness, address: …}")
	case data < 2:
		l.report("nodes", fmt.Sprintf("%d of %d nodes have a server, so nobody can take over", data, n), "give at least two of them role: data")
	case n%2 == 0:
		l.warn("nodes", fmt.Sprintf("%d voters survive no more losses than %d would", n, n-1), "add a witness, or leave one out")
	case n > 7:
		l.warn("nodes", fmt.Sprintf("%d voters make every renewal of the lease wait for %d of them", n, n/2+1), "three or five are plenty; split the cluster, or use an external store")
	}
	names, addresses := map[string]int{}, map[string]int{}
	for i, n := range c.Nodes {
		l.once(names, at("nodes", i, "name"), string(n.Name), "give every node its own name")
		address := ""
		if n.Address.IsValid() {
			address = n.Address.String()
		}
		l.once(addresses, at("nodes", i, "address"), address, "give every node its own address")
		switch {
		case n.Address.IsUnspecified(), n.Address.IsMulticast():
			l.report(at("nodes", i, "address"), fmt.Sprintf("%s is no address of a host", n.Address), "give the address that the other nodes reach it at")
		case n.Address.IsLoopback():
			l.warn(at("nodes", i, "address"), fmt.Sprintf("%s is reached from its own host only", n.Address), "give the address that the other nodes reach it at")
		case n.Address.IsLinkLocalUnicast():
			l.report(at("nodes", i, "address"), fmt.Sprintf("%s means nothing without an interface", n.Address), "give an address that is valid on the whole network")
		}
	}
}

// once reports a value that stood somewhere before.
func (l *loader) once(seen map[string]int, path, value, mend string) {
	if value == "" {
		return
	}
	if line, twice := seen[value]; twice {
		l.report(path, fmt.Sprintf("%s stands on line %d already", value, line), mend)
		return
	}
	seen[value] = l.cfg.where(path)
}

func (l *loader) judgeRoles() {
	var data, able []cluster.NodeName
	for i, n := range l.cfg.Nodes {
		if n.Role == cluster.Data {
			data = append(data, n.Name)
			if !n.Never {
				able = append(able, n.Name)
			}
			continue
		}
		for _, k := range []struct {
			key string
			set bool
		}{{"server", n.Server != nil}, {"prefer", n.Prefer != 0}, {"never", n.Never}} {
			if k.set {
				l.report(at("nodes", i, k.key), "a witness has no server", "remove it, or make the node role: data")
			}
		}
	}
	switch {
	case len(data) < 2:
	case len(able) == 0:
		l.report("nodes", "every data node is marked never, so nobody may be primary", "remove never: true from at least two of them")
	case len(able) == 1:
		l.warn("nodes", fmt.Sprintf("all data nodes but %s are marked never, so nobody may take over from it", able[0]), "remove never: true from another one")
	}
}

func (l *loader) judgeSites() {
	c := l.cfg
	used := map[string]bool{}
	for i, n := range c.Nodes {
		used[n.Site] = true
		if n.Site == "" || len(c.Sites) == 0 || slices.Contains(c.Sites, n.Site) {
			continue
		}
		mend := "add it to sites:, or use " + orList(c.Sites)
		if near, ok := nearest(n.Site, c.Sites); ok {
			mend = fmt.Sprintf("did you mean %s?", near)
		}
		l.report(at("nodes", i, "site"), fmt.Sprintf("%q is none of sites:", n.Site), mend)
	}
	seen := map[string]int{}
	for i, s := range c.Sites {
		l.once(seen, at("sites", i, ""), s, "name every site once")
		switch {
		case s == "":
			l.report(at("sites", i, ""), "a site needs a name", "remove it")
		case !used[s]:
			l.warn(at("sites", i, ""), fmt.Sprintf("no node is in site %q", s), "remove it, or give a node site: "+s)
		}
	}
}

func (l *loader) judgeStore() {
	s := l.cfg.Store
	if !s.External() {
		for _, key := range []string{"ca", "cert", "key"} {
			if path := "store.tls." + key; l.said(path) {
				l.report(path, "is for an external store, and there are no endpoints", "add store.endpoints, or use tls: for the embedded one")
			}
		}
		if p := l.cfg.PeerLink.Port; p == s.PeerPort {
			l.report("peer.port", fmt.Sprintf("the embedded store uses %d too", p), "change it, or store.peer_port")
		}
		l.judgeElection(s)
		return
	}
	for _, key := range []string{"peer_port", "heartbeat", "election"} {
		if path := "store." + key; l.said(path) {
			l.report(path, "is for the embedded store, and endpoints name an external one", "remove it, or remove store.endpoints")
		}
	}
	seen := map[string]int{}
	encrypted := false
	for i, e := range s.Endpoints {
		path := at("store.endpoints", i, "")
		l.once(seen, path, e, "name every endpoint once")
		u, err := url.Parse(e)
		switch {
		case err != nil || u.Hostname() == "" || u.Port() == "" || u.Path != "" || u.Scheme != "http" && u.Scheme != "https":
			l.report(path, fmt.Sprintf("%q is no endpoint", redacted(e)), "write it like https://10.0.0.1:2379")
		case u.User != nil:
			l.report(path, "an endpoint with a password in it would be shown to everybody", "write it without; use a client certificate, store.tls")
		case u.Scheme == "http":
			l.warn(path, fmt.Sprintf("what goes to %s can be read and changed on the way", u.Host), "use https:// and store.tls")
		default:
			encrypted = true
		}
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		l.report("store.tls", "a certificate and its key belong together", "give both store.tls.cert and store.tls.key, or neither")
	}
	if !encrypted && s.TLS != (TLS{}) && len(seen) > 0 {
		l.report("store.tls", "no endpoint is encrypted", "write the endpoints with https://, or remove store.tls")
	}
}

// redacted is what may be shown of a text that could be an URL with a password.
func redacted(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

func (l *loader) judgeElection(s Store) {
	if s.Election < 5*s.Heartbeat {
		l.report("store.election", fmt.Sprintf("%s is less than five heartbeats of %s", shortDuration(s.Election), shortDuration(s.Heartbeat)),
			fmt.Sprintf("write at least %s, or a shorter heartbeat", shortDuration(5*s.Heartbeat)))
		return
	}
	// An election takes up to twice its timeout; the lease, last renewed before
	// it, should outlive it.
	if need := 2*s.Election + l.cfg.Timing.Renew + l.cfg.Timing.Call; need > l.cfg.Timing.Lease {
		l.warn("store.election", fmt.Sprintf("when the store's leader is lost, its election of up to %s can outlast the lease of %s", shortDuration(2*s.Election), shortDuration(l.cfg.Timing.Lease)),
			fmt.Sprintf("write at most %s, or a lease of at least %s", shortDuration(max(0, (l.cfg.Timing.Lease-l.cfg.Timing.Renew-l.cfg.Timing.Call)/2).Truncate(time.Millisecond)), shortDuration(need)))
	}
}
