package config

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// HTTP is where load balancers and Prometheus may ask a node.
type HTTP struct {
	Listen []string `key:"listen"`
	TLS    TLS      `key:"tls"` // CA: of clients
}

func httpKeys() []Key {
	return []Key{
		key("http.listen", Words).like(`["10.77.0.11:7482"]`).
			doc("Addresses with ports on which this node answers load balancers and Prometheus: /primary, /replica, /health, /cluster, /history, /metrics. Nothing can be changed there. Empty: none; everything is on the unix socket, too.",
				"Whoever reaches it can read the status of the cluster: use an address of your own network, or ask for certificates."),
		key("http.tls.cert", File).doc("The certificate shown there, for TLS; empty: plain HTTP. It is read anew when the file changes."),
		key("http.tls.key", File).doc("The key of that certificate."),
		key("http.tls.ca", File).doc("The authority of clients: only those with a certificate of it are answered. Empty: everybody is."),
	}
}

func (l *loader) judgeHTTP() {
	h := l.cfg.HTTP
	seen := map[string]int{}
	for i, address := range h.Listen {
		path := at("http.listen", i, "")
		l.once(seen, path, address, "name every address once")
		on, err := netip.ParseAddrPort(address)
		switch {
		case err != nil || on.Port() == 0:
			l.report(path, fmt.Sprintf("%q is no address with a port", address), `write it like 10.77.0.11:7482, "[fd77::11]:7482", or 0.0.0.0:7482 for all of this host's`)
		default:
			l.judgePort(path, on.Port())
		}
	}
	switch t := h.TLS; {
	case (t.Cert == "") != (t.Key == ""):
		l.report("http.tls", "a certificate and its key belong together", "give both http.tls.cert and http.tls.key, or neither")
	case t.CA != "" && t.Cert == "":
		l.report("http.tls.ca", "clients can show a certificate only where this node has one", "give http.tls.cert and http.tls.key, too")
	case t.Cert != "" && len(h.Listen) == 0:
		l.report("http.tls", "there is nothing to encrypt", "add http.listen, or remove http.tls")
	}
}

// judgePort: who else of ours listens there.
func (l *loader) judgePort(path string, port uint16) {
	c := l.cfg
	taken := func(by int, key, who string) {
		if int(port) == by {
			l.report(path, fmt.Sprintf("%s uses port %d", who, port), "choose another port, or change "+key)
		}
	}
	if !c.Store.External() {
		taken(c.Store.PeerPort, "store.peer_port", "the embedded store")
	}
	taken(c.PeerLink.Port, "peer.port", "the link between the agents")
	if n, ok := c.NodeNamed(c.Node); ok && n.Role == cluster.Data {
		taken(c.ServerOf(c.Node).Port, "server.port", "the server")
	}
}

// checkPublicTLS judges the files of http.tls. None of them keeps an agent from
// starting: the cluster runs without that listener.
func (c *Config) checkPublicTLS(now time.Time) Findings {
	t := c.HTTP.TLS
	found := c.checkTLS("http.tls", TLS{Cert: t.Cert, Key: t.Key}, nil, now)
	if t.CA != "" {
		found = append(found, c.checkTLS("http.tls", TLS{CA: t.CA}, nil, now)...)
	}
	for i := range found {
		found[i].Severity = Warning
	}
	return found
}
