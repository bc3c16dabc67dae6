package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// DNSName is a name in a zone that takes dynamic updates.
type DNSName struct {
	Name       string        `key:"name"`
	Zone       string        `key:"zone"`
	Servers    []string      `key:"servers"`
	Key        string        `key:"key"`
	Algorithm  string        `key:"algorithm"`
	SecretFile string        `key:"secret_file"`
	TTL        time.Duration `key:"ttl"`
	SwitchTTL  time.Duration `key:"switch_ttl"`
	SwitchFor  time.Duration `key:"switch_for"`
	Resolvers  []string      `key:"resolvers"`
}

func dnsNameKeys() []Key {
	return []Key{
		key("endpoints[].dns.name", Text).same().like("db.shop.example.org").
			doc("A name in a DNS zone that takes dynamic updates (RFC 2136): the whole name, of which Baton sets the A or AAAA record to the primary's address. Beside it, in a TXT record at _baton.NAME, it writes the reign; the update refuses an older one."),
		key("endpoints[].dns.zone", Text).same().like("shop.example.org").
			doc("The zone that the name is in."),
		key("endpoints[].dns.servers", Words).same().like("[10.0.0.53]").
			doc("The zone's primary servers, by address, with a port if it is not 53. They are reached by TCP and tried one after the other; the first that carries it out is enough."),
		key("endpoints[].dns.key", Text).same().like("baton").
			doc("The name of the TSIG key that may update both names and query the zone."),
		choice("endpoints[].dns.algorithm", "algorithm of TSIG", "hmac-sha256", "hmac-sha512", "hmac-sha384", "hmac-sha224", "hmac-sha1").byDefault("hmac-sha256").same().
			doc("That key's algorithm."),
		key("endpoints[].dns.secret_file", File).same().
			doc("The file that holds that key's secret, in base64 as key files have it, on one line."),
		key("endpoints[].dns.ttl", Duration).byDefault("10s").between("0s", "24h").same().
			doc("The record's time to live in the long run: for so long resolvers may lead clients to the old primary."),
		key("endpoints[].dns.switch_ttl", Duration).byDefault("2s").between("0s", "24h").same().
			doc("The one that a new primary writes, so that clients soon follow if there is another switch."),
		key("endpoints[].dns.switch_for", Duration).byDefault("10m").between("0s", "24h").same().
			doc("For how long after a switch the record has switch_ttl."),
		key("endpoints[].dns.resolvers", Words).same().like("[10.0.0.2]").
			doc("Resolvers that clients ask, by address, with a port if it is not 53. Once they should have forgotten the old address, status says which of them has not."),
	}
}

// dnsShape is a name of labels with letters, digits, dashes and underscores.
var dnsShape = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+$`)

// longestDNSName leaves room for what stands in front of it: RFC 1035 has 255 octets.
const longestDNSName = 240

// dnsName is a name as it is compared, and whether it is one.
func dnsName(text string) (name string, ok bool) {
	name = strings.ToLower(strings.TrimSuffix(text, ".")) + "."
	return name, len(name) <= longestDNSName && dnsShape.MatchString(name)
}

// DNSServer is a server as it is written: an address, with a port if it is not 53.
func DNSServer(text string) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 53), true
	}
	a, err := netip.ParseAddrPort(text)
	return a, err == nil && a.Port() != 0
}

func (l *loader) judgeDNSName(block string, endpoint Endpoint) {
	e := endpoint.DNS
	name, named := l.judgeDNSWord(block+".name", e.Name, "db."+l.cfg.Cluster+".example.org")
	zone, zoned := l.judgeDNSWord(block+".zone", e.Zone, l.cfg.Cluster+".example.org")
	if named && zoned {
		l.judgeInZone(block+".name", name, zone)
	}
	if len(e.Servers) == 0 {
		l.report(block+".servers", "is missing", "write the addresses of the zone's primary servers, such as [10.0.0.53]")
	}
	l.judgeDNSServers(block+".servers", e.Servers)
	l.judgeDNSServers(block+".resolvers", e.Resolvers)
	l.judgeDNSWord(block+".key", e.Key, "baton")
	if e.SecretFile == "" {
		l.report(block+".secret_file", "is missing", "write the key's secret into a file that only root may read, and name that file here")
	}
	l.judgeTTLs(block, e.TTL, e.SwitchTTL)
}

func (l *loader) judgeDNSServers(path string, servers []string) {
	for i, s := range servers {
		if _, ok := DNSServer(s); !ok {
			l.report(at(path, i, ""), fmt.Sprintf("%q is no address of a server", s), "write it as 10.0.0.53 or 10.0.0.53:5353; a name would have to be looked up first")
		}
	}
}

// judgeDNSWord reports what is no name in DNS.
func (l *loader) judgeDNSWord(path, text, example string) (name string, ok bool) {
	name, ok = dnsName(text)
	switch {
	case text == "":
		l.report(path, "is missing", "write it, such as "+example)
		return "", false
	case !ok:
		l.report(path, fmt.Sprintf("%q is no name in DNS", text), "write it as "+example)
	}
	return name, ok
}
