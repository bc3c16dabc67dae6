package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// CloudAddress is an address at a cloud vendor that has an ID of its own.
type CloudAddress struct {
	ID       string   `key:"id"`
	To       []string `key:"to"`
	Region   string   `key:"region"`
	KeysFile string   `key:"keys_file"`
	URL      string   `key:"url"`
}

// CloudSecondaryIP is a secondary private address.
type CloudSecondaryIP struct {
	Address  netip.Addr `key:"address"`
	To       []string   `key:"to"`
	Region   string     `key:"region"`
	KeysFile string     `key:"keys_file"`
	URL      string     `key:"url"`
}

// CloudRoute is an entry of route tables.
type CloudRoute struct {
	Destination string   `key:"destination"`
	Tables      []string `key:"tables"`
	To          []string `key:"to"`
	Region      string   `key:"region"`
	KeysFile    string   `key:"keys_file"`
	URL         string   `key:"url"`
}

// cloudAddress is one kind of such addresses.
type cloudAddress struct {
	kind string
	own  func(block string) []Key // beside those that all have
	// to is what the nodes are called there, as in an example, and what begins such IDs.
	to, region, url string
	begins          []string
	permissions     string
	role            string
	of              func(Endpoint) CloudAddress // what all have
	judge           func(l *loader, block string, e Endpoint)
}

// withID are the kinds that have an ID of their own.
func withID(doc, example string) func(string) []Key {
	return func(block string) []Key {
		return []Key{key(block+".id", Text).same().like(example).doc(doc)}
	}
}

func judgeID(begin, example string, of func(Endpoint) string) func(*loader, string, Endpoint) {
	return func(l *loader, block string, e Endpoint) {
		switch id := of(e); {
		case id == "":
			l.report(block+".id", "is missing", "write it, such as "+example)
		case !idShape.MatchString(id) || !strings.HasPrefix(id, begin):
			l.report(block+".id", fmt.Sprintf("%q is no ID that begins with %s", id, begin), "write it as "+example)
		}
	}
}

var (
	idShape     = regexp.MustCompile(`^[a-z]+-[0-9a-z]+$`)
	regionShape = regexp.MustCompile(`^[a-z]{2,}(-[a-z0-9]+)+$`)
)

func cloudAddresses() []cloudAddress {
	return []cloudAddress{
		{kind: "aws_eip", to: "i-0123456789abcdef0", begins: []string{"i-", "eni-"}, region: "eu-central-1", url: "https://ec2.eu-central-1.amazonaws.com",
			own:         withID("An Elastic IP address of AWS: its allocation.", "eipalloc-0123456789abcdef0"),
			permissions: "`ec2:DescribeAddresses` and `ec2:AssociateAddress`", role: "instance's role",
			of:    func(e Endpoint) CloudAddress { return e.AWSElasticIP },
			judge: judgeID("eipalloc-", "eipalloc-0123456789abcdef0", func(e Endpoint) string { return e.AWSElasticIP.ID })},
		{kind: "aws_secondary_ip", to: "eni-0123456789abcdef0", begins: []string{"eni-"}, region: "eu-central-1", url: "https://ec2.eu-central-1.amazonaws.com",
			own: func(block string) []Key {
				return []Key{key(block+".address", IP).same().like("10.77.0.100").doc("A secondary private IPv4 address of AWS, within one subnet. Have the hosts' interfaces take it, too: in `addresses:`.")}
			},
			permissions: "`ec2:DescribeNetworkInterfaces` and `ec2:AssignPrivateIpAddresses`", role: "instance's role",
			of: func(e Endpoint) CloudAddress {
				s := e.AWSSecondaryIP
				return CloudAddress{To: s.To, Region: s.Region, KeysFile: s.KeysFile, URL: s.URL}
			},
			judge: (*loader).judgeSecondaryIP},
		{kind: "aws_route", to: "eni-0123456789abcdef0", begins: []string{"eni-", "i-"}, region: "eu-central-1", url: "https://ec2.eu-central-1.amazonaws.com",
			own: func(block string) []Key {
				return []Key{
					key(block+".destination", Text).same().like("10.99.0.1/32").doc("A route of AWS: its destination, outside of the VPC's own ranges so that it can cross subnets. Have the hosts take the address, too: in `addresses:`."),
					key(block+".tables", Words).same().like("[rtb-0123456789abcdef0]").doc("The route tables that have it. One in which it is missing gets it."),
				}
			},
			permissions: "`ec2:DescribeRouteTables`, `ec2:ReplaceRoute` and `ec2:CreateRoute`", role: "instance's role",
			of: func(e Endpoint) CloudAddress {
				r := e.AWSRoute
				return CloudAddress{To: r.To, Region: r.Region, KeysFile: r.KeysFile, URL: r.URL}
			},
			judge: (*loader).judgeCloudRoute},
		{kind: "aliyun_eip", to: "i-bp67acfmxazb4ph0aaaa", begins: []string{"i-", "eni-"}, region: "cn-hangzhou", url: "https://vpc.cn-hangzhou.aliyuncs.com",
			own:         withID("An elastic IP address (EIP) of Alibaba Cloud. It is taken from one instance before it is given to the next, which takes seconds.", "eip-2zeerraiwb7uj6i0d0fo3"),
			permissions: "`vpc:DescribeEipAddresses`, `vpc:AssociateEipAddress` and `vpc:UnassociateEipAddress`", role: "instance's RAM role",
			of:    func(e Endpoint) CloudAddress { return e.AliyunEIP },
			judge: judgeID("eip-", "eip-2zeerraiwb7uj6i0d0fo3", func(e Endpoint) string { return e.AliyunEIP.ID })},
		{kind: "aliyun_havip", to: "i-bp67acfmxazb4ph0aaaa", begins: []string{"i-", "eni-"}, region: "cn-hangzhou", url: "https://vpc.cn-hangzhou.aliyuncs.com",
			own:         withID("A HAVIP of Alibaba Cloud, to be associated with the primary's instance alone. Have the hosts' interfaces take its address, too: in `addresses:`.", "havip-2zeo05qre24nhrqpy0abc"),
			permissions: "`vpc:DescribeHaVips`, `vpc:AssociateHaVip` and `vpc:UnassociateHaVip`", role: "instance's RAM role",
			of:    func(e Endpoint) CloudAddress { return e.AliyunHAVIP },
			judge: judgeID("havip-", "havip-2zeo05qre24nhrqpy0abc", func(e Endpoint) string { return e.AliyunHAVIP.ID })},
		{kind: "tencent_havip", to: "ins-11112222", begins: []string{"ins-", "eni-"}, region: "ap-guangzhou", url: "https://vpc.tencentcloudapi.com",
			own:         withID("A HAVIP of Tencent Cloud, which goes to the host that announces it by ARP: it has to be one of `addresses:`. The primary's instance is put among those that may have it, and it is looked who has it.", "havip-kjqwe4ba"),
			permissions: "`vpc:DescribeHaVips` and `vpc:AssociateHaVipInstance`", role: "instance's CAM role",
			of:    func(e Endpoint) CloudAddress { return e.TencentHAVIP },
			judge: judgeID("havip-", "havip-kjqwe4ba", func(e Endpoint) string { return e.TencentHAVIP.ID })},
	}
}

func (v cloudAddress) block() endpointBlock {
	return endpointBlock{kind: v.kind, hosts: byPrimary, keys: v.keys, secret: func(e Endpoint) (string, string) { return "keys_file", v.of(e).KeysFile },
		judge: func(l *loader, block string, e Endpoint) {
			v.judge(l, block, e)
			a := v.of(e)
			switch {
			case a.Region == "":
				l.report(block+".region", "is missing", "write it, such as "+v.region)
			case !regionShape.MatchString(a.Region):
				l.report(block+".region", fmt.Sprintf("%q is no region", a.Region), "write it as "+v.region)
			}
			l.judgeCloudNodes(block+".to", a.To, v)
			l.judgeCloudAccess(block, a.KeysFile, true, a.URL, v.url)
		}}
}

func (v cloudAddress) keys() []Key {
	block := "endpoints[]." + v.kind
	return append(v.own(block),
		key(block+".to", Words).same().like("[db1="+v.to+"]").
			doc("What the data nodes are there, each one once: NODE=ID, of "+orList(v.begins)+"…."),
		key(block+".region", Text).same().like(v.region).doc("The region."),
		key(block+".keys_file", File).same().
			doc("The file with the keys on one line, as ID:SECRET. They need "+v.permissions+". Empty: those of the "+v.role+"."),
		cloudURL(block, v.url))
}

// CloudNodes is what the nodes are at a vendor, by their names, as `to` says it.
func CloudNodes(to []string) map[cluster.NodeName]string {
	ids := map[cluster.NodeName]string{}
	for _, pair := range to {
		if node, id, ok := strings.Cut(pair, "="); ok {
			ids[cluster.NodeName(strings.TrimSpace(node))] = strings.TrimSpace(id)
		}
	}
	return ids
}

// judgeCloudNodes is about what the nodes are at a vendor.
func (l *loader) judgeCloudNodes(path string, to []string, v cloudAddress) {
	seenNode, seenID := map[string]int{}, map[string]int{}
	for i, pair := range to {
		node, id, ok := strings.Cut(pair, "=")
		node, id, path := strings.TrimSpace(node), strings.TrimSpace(id), at(path, i, "")
		begins := slices.ContainsFunc(v.begins, func(b string) bool { return strings.HasPrefix(id, b) })
		n, known := l.cfg.NodeNamed(cluster.NodeName(node))
		switch {
		case !ok:
			l.report(path, fmt.Sprintf("%q does not say of which node it is", pair), "write it as db1="+v.to)
			continue
		case !known:
			l.report(path, fmt.Sprintf("%q is none of nodes:", node), "use "+orList(l.dataNodes()))
		case n.Role != cluster.Data:
			l.report(path, node+" has no server", "remove it")
		case !begins || !idShape.MatchString(id):
			l.report(path, fmt.Sprintf("%q is no ID of %s…", id, orList(v.begins)), "write it as "+node+"="+v.to)
		}
		l.once(seenNode, path, node, "name every node once")
		l.once(seenID, path, id, "two nodes are not the same there")
	}
	for _, node := range l.dataNodes() {
		if _, said := seenNode[node]; !said {
			l.report(path, node+" is missing: nothing could lead there if it were primary", "add "+node+"="+v.to)
		}
	}
}

func (l *loader) judgeSecondaryIP(block string, e Endpoint) {
	switch a := e.AWSSecondaryIP.Address; {
	case !a.IsValid():
		if !l.said(block + ".address") {
			l.report(block+".address", "is missing", "write it, such as 10.77.0.100")
		}
	case !a.Is4():
		l.report(block+".address", fmt.Sprintf("%s is not IPv4, and AWS moves no other", a), "use aws_route for IPv6")
	}
}

func (l *loader) judgeCloudRoute(block string, e Endpoint) {
	r := e.AWSRoute
	p, err := netip.ParsePrefix(r.Destination)
	switch {
	case r.Destination == "":
		l.report(block+".destination", "is missing", "write it, such as 10.99.0.1/32")
	case err != nil:
		l.report(block+".destination", fmt.Sprintf("%q is no destination of a route", r.Destination), "write it as 10.99.0.1/32")
	case p != p.Masked():
		l.report(block+".destination", fmt.Sprintf("%s has bits beyond its length", p), "write "+p.Masked().String())
	}
	if len(r.Tables) == 0 {
		l.report(block+".tables", "is missing", "write the route tables, such as [rtb-0123456789abcdef0]")
	}
	seen := map[string]int{}
	for i, t := range r.Tables {
		path := at(block+".tables", i, "")
		if !idShape.MatchString(t) || !strings.HasPrefix(t, "rtb-") {
			l.report(path, fmt.Sprintf("%q is no ID of a route table", t), "write it as rtb-0123456789abcdef0")
		}
		l.once(seen, path, t, "name every table once")
	}
}
