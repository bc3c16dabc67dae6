package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// CloudName is a name in a zone that a cloud vendor serves.
type CloudName struct {
	Name      string        `key:"name"`
	Zone      string        `key:"zone"`
	KeysFile  string        `key:"keys_file"`
	URL       string        `key:"url"`
	TTL       time.Duration `key:"ttl"`
	SwitchTTL time.Duration `key:"switch_ttl"`
	SwitchFor time.Duration `key:"switch_for"`
	Resolvers []string      `key:"resolvers"`
}

// cloudName is one vendor of such zones.
type cloudName struct {
	kind, doc string
	// zone is what zones are called there, as in an example, and what shape that has;
	// nil: it is the zone's name in DNS, in which the name is.
	zone, zoneDoc         string
	shape                 *regexp.Regexp
	keysDoc               string
	role                  bool   // without a file there are the keys of the instance's role
	url                   string // the vendor's own
	ttl, switchTTL, least string
	of                    func(Endpoint) CloudName
}

var (
	hostedZoneShape     = regexp.MustCompile(`^Z[A-Z0-9]{5,31}$`)
	cloudflareZoneShape = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// cloudBlocks are the blocks of what is behind a cloud vendor's API.
func cloudBlocks() []endpointBlock {
	var blocks []endpointBlock
	for _, v := range cloudNames() {
		blocks = append(blocks, v.block())
	}
	for _, v := range cloudAddresses() {
		blocks = append(blocks, v.block())
	}
	return blocks
}

// keysShape is what a file of keys holds.
var keysShape = regexp.MustCompile(`^\s*[^\s:]+\s*:\s*\S+\s*$`)

// holdsKeys reports whether a block's secret is of the form that its vendor's keys
// have; other blocks' may be anything.
func (b endpointBlock) holdsKeys(secret string) bool {
	key, _ := b.secret(Endpoint{})
	return key != "keys_file" || b.kind == "cloudflare" || keysShape.MatchString(secret)
}

func cloudNames() []cloudName {
	const file = "The file with the keys on one line, as ID:SECRET. They need "
	return []cloudName{
		{kind: "route53", doc: "A name in a hosted zone of AWS Route 53", zone: "Z0123456789ABCDEFGHIJ", zoneDoc: "The ID of the hosted zone.", shape: hostedZoneShape,
			keysDoc: file + "`route53:ListResourceRecordSets` and `route53:ChangeResourceRecordSets` of that zone. Empty: those of the instance's role.", role: true,
			url: "https://route53.amazonaws.com", ttl: "10s", switchTTL: "5s", least: "0s", of: func(e Endpoint) CloudName { return e.Route53 }},
		{kind: "cloudflare", doc: "A name in a zone of Cloudflare's, never proxied", zone: "023e105f4ecef8ad9ca31a8372d0c353", zoneDoc: "The ID of the zone.", shape: cloudflareZoneShape,
			keysDoc: "The file with an API token on one line, which needs `DNS:Edit` of that zone.",
			url:     "https://api.cloudflare.com", ttl: "60s", switchTTL: "60s", least: "30s", of: func(e Endpoint) CloudName { return e.Cloudflare }},
		{kind: "alidns", doc: "A name in a zone of Alibaba Cloud DNS", zone: "shop.example.org", zoneDoc: "The domain that the name is in.",
			keysDoc: file + "`alidns:DescribeSubDomainRecords`, `alidns:AddDomainRecord`, `alidns:UpdateDomainRecord` and `alidns:DeleteDomainRecord`. Empty: those of the instance's RAM role.", role: true,
			url: "https://alidns.aliyuncs.com", ttl: "60s", switchTTL: "60s", least: "1s", of: func(e Endpoint) CloudName { return e.AliDNS }},
		{kind: "dnspod", doc: "A name in a zone of Tencent Cloud's DNSPod", zone: "shop.example.org", zoneDoc: "The domain that the name is in.",
			keysDoc: file + "`dnspod:DescribeRecordList`, `dnspod:CreateRecord`, `dnspod:ModifyRecord` and `dnspod:DeleteRecord`. Empty: those of the instance's CAM role.", role: true,
			url: "https://dnspod.tencentcloudapi.com", ttl: "60s", switchTTL: "60s", least: "1s", of: func(e Endpoint) CloudName { return e.DNSPod }},
	}
}

func (v cloudName) block() endpointBlock {
	return endpointBlock{kind: v.kind, hosts: byPrimary, keys: v.keys, judge: v.judge, secret: func(e Endpoint) (string, string) { return "keys_file", v.of(e).KeysFile }}
}

func (v cloudName) keys() []Key {
	block := "endpoints[]." + v.kind
	return []Key{
		key(block+".name", Text).same().like("db.shop.example.org").
			doc(v.doc + ": the whole name, of which Baton sets the A or AAAA record to the primary's address. Beside it, in a TXT record at _baton.NAME, it writes the reign."),
		key(block+".zone", Text).same().like(v.zone).doc(v.zoneDoc),
		key(block+".keys_file", File).same().doc(v.keysDoc),
		cloudURL(block, v.url),
		key(block+".ttl", Duration).byDefault(v.ttl).between(v.least, "24h").same().
			doc("The record's time to live in the long run. What the vendor's plan does not allow is refused by it, and said."),
		key(block+".switch_ttl", Duration).byDefault(v.switchTTL).between(v.least, "24h").same().
			doc("The one that a new primary writes, so that clients soon follow if there is another switch."),
		key(block+".switch_for", Duration).byDefault("10m").between("0s", "24h").same().
			doc("For how long after a switch the record has switch_ttl."),
		key(block+".resolvers", Words).same().like("[10.0.0.2]").
			doc("Resolvers that clients ask, by address, with a port if it is not 53. Once they should have forgotten the old address, status says which of them has not."),
	}
}

// cloudURL is the key for another address of a vendor's API.
func cloudURL(block, own string) Key {
	return key(block+".url", Text).same().like(own).
		doc("Where the API is, if not at the vendor's own address, as in a private network or a region apart.")
}

func (v cloudName) judge(l *loader, block string, endpoint Endpoint) {
	e := v.of(endpoint)
	name, named := l.judgeDNSWord(block+".name", e.Name, "db."+l.cfg.Cluster+".example.org")
	switch {
	case e.Zone == "":
		l.report(block+".zone", "is missing", "write it, such as "+v.zone)
	case v.shape != nil && !v.shape.MatchString(e.Zone):
		l.report(block+".zone", fmt.Sprintf("%q is no ID of a zone", e.Zone), "write it as "+v.zone)
	case v.shape == nil:
		if zone, ok := l.judgeDNSWord(block+".zone", e.Zone, v.zone); ok && named {
			l.judgeInZone(block+".name", name, zone)
		}
	}
	l.judgeCloudAccess(block, e.KeysFile, v.role, e.URL, v.url)
	l.judgeTTLs(block, e.TTL, e.SwitchTTL)
	l.judgeDNSServers(block+".resolvers", e.Resolvers)
}

// judgeInZone reports a name that is not in a zone.
func (l *loader) judgeInZone(path, name, zone string) {
	if name != zone && !strings.HasSuffix(name, "."+zone) {
		l.report(path, fmt.Sprintf("%s is not in the zone %s", strings.TrimSuffix(name, "."), strings.TrimSuffix(zone, ".")), "write the whole name, such as db."+strings.TrimSuffix(zone, "."))
	}
}

// judgeCloudAccess is about what all vendors' APIs want.
func (l *loader) judgeCloudAccess(block, keysFile string, role bool, url, own string) {
	if keysFile == "" && !role {
		l.report(block+".keys_file", "is missing", "write the token into a file that only root may read, and name that file here")
	}
	if url == "" {
		return
	}
	l.judgeURL(block+".url", url, "an API", own)
	if strings.HasPrefix(url, "http://") {
		l.warn(block+".url", "what is asked there is not encrypted", "write https://")
	}
}

// judgeTTLs is about the times to live of a name.
func (l *loader) judgeTTLs(block string, ttl, switchTTL time.Duration) {
	for _, t := range []struct {
		key string
		is  time.Duration
	}{{"ttl", ttl}, {"switch_ttl", switchTTL}} {
		if t.is%time.Second != 0 {
			l.report(block+"."+t.key, fmt.Sprintf("%s is no whole number of seconds, as DNS has them", shortDuration(t.is)), fmt.Sprintf("write %s", shortDuration(t.is.Truncate(time.Second)+time.Second)))
		}
	}
	if switchTTL > ttl {
		l.report(block+".switch_ttl", fmt.Sprintf("%s is longer than ttl, %s", shortDuration(switchTTL), shortDuration(ttl)), "write at most that")
	}
	if ttl > time.Minute {
		l.warn(block+".ttl", fmt.Sprintf("for %s after a failover, resolvers lead clients to the old primary", shortDuration(ttl)), "write 10s")
	}
}
