package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each case is one endpoint in a good file, on line 12.
func TestWhatIsWrongWithANameAtACloudVendor(t *testing.T) {
	const here = "baton.yaml:12: endpoints[0]."
	for name, tt := range map[string]struct {
		block string
		want  []string
	}{
		"a whole one of Route 53":   {"route53: {name: db.shop.test, zone: Z0123456789ABC, keys_file: k}", nil},
		"by the instance's role":    {"route53: {name: db.shop.test, zone: Z0123456789ABC, url: 'https://route53.amazonaws.com.cn'}", nil},
		"a whole one of Cloudflare": {"cloudflare: {name: db.shop.test, zone: 023e105f4ecef8ad9ca31a8372d0c353, keys_file: k}", nil},
		"a whole one of Alibaba":    {"alidns: {name: db.shop.test, zone: shop.test}", nil},
		"a whole one of DNSPod":     {"dnspod: {name: shop.test, zone: Shop.test., keys_file: k, ttl: 1s, switch_ttl: 1s}", nil},
		"Route 53 without anything": {"route53: {ttl: 10s}", []string{here + "route53.name: is missing; write it, such as db.shop.example.org", here + "route53.zone: is missing; write it, such as Z0123456789ABCDEFGHIJ"}},
		"Cloudflare with odd parts": {"cloudflare: {name: db..test, zone: shop.test, url: 'api.cloudflare.com', ttl: 10s}", []string{
			here + "cloudflare.ttl: 10s is too little; write 30s to 24h",
			here + `cloudflare.name: "db..test" is no name in DNS; write it as db.shop.example.org`,
			here + `cloudflare.zone: "shop.test" is no ID of a zone; write it as 023e105f4ecef8ad9ca31a8372d0c353`,
			here + "cloudflare.keys_file: is missing; write the token into a file that only root may read, and name that file here",
			here + `cloudflare.url: "api.cloudflare.com" is no URL of an API; write it as https://api.cloudflare.com`,
		}},
		"Alibaba with odd parts": {"alidns: {name: db.example.test, zone: shop.test, url: 'https://me:hunter2@10.0.0.1', ttl: 1500ms, switch_ttl: 2s, resolvers: [dns]}", []string{
			here + `alidns.resolvers[0]: "dns" is no address of a server; write it as 10.0.0.53 or 10.0.0.53:5353; a name would have to be looked up first`,
			here + "alidns.name: db.example.test is not in the zone shop.test; write the whole name, such as db.shop.test",
			here + "alidns.url: a password in a URL would be shown to everybody; write it without, as https://alidns.aliyuncs.com; secrets are in files",
			here + "alidns.ttl: 1.5s is no whole number of seconds, as DNS has them; write 2s",
			here + "alidns.switch_ttl: 2s is longer than ttl, 1.5s; write at most that",
		}},
		"DNSPod with what is unwise": {"dnspod: {name: db.shop.test, zone: shop.test, ttl: 10m, url: 'http://10.0.0.1'}", []string{
			"baton.yaml:12: warning: endpoints[0].dnspod.ttl: for 10m after a failover, resolvers lead clients to the old primary; write 10s",
			"baton.yaml:12: warning: endpoints[0].dnspod.url: what is asked there is not encrypted; write https://",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wantFindings(t, good+"endpoints:\n  - {name: app, "+tt.block+"}\n", tt.want...)
		})
	}
}

func TestWhatIsWrongWithAnAddressAtACloudVendor(t *testing.T) {
	const here = "baton.yaml:12: endpoints[0]."
	for name, tt := range map[string]struct {
		block string
		want  []string
	}{
		"a whole Elastic IP":         {"aws_eip: {id: eipalloc-0a1b, to: [db1=i-0a1, 'db2 = eni-0a2'], region: eu-central-1, keys_file: k}", nil},
		"a whole secondary address":  {"aws_secondary_ip: {address: 10.77.0.100, to: [db1=eni-0a1, db2=eni-0a2], region: us-gov-west-1}", nil},
		"a whole route":              {"aws_route: {destination: 'fd99::1/128', tables: [rtb-1, rtb-2], to: [db1=eni-0a1, db2=eni-0a2], region: eu-central-1}", nil},
		"a whole EIP":                {"aliyun_eip: {id: eip-2zee, to: [db1=i-bp1, db2=i-bp2], region: cn-hangzhou, url: 'https://vpc.aliyuncs.com'}", nil},
		"a whole HAVIP":              {"aliyun_havip: {id: havip-2zeo, to: [db1=i-bp1, db2=i-bp2], region: cn-hangzhou}", nil},
		"a whole HAVIP of Tencent's": {"tencent_havip: {id: havip-kjqw, to: [db1=ins-11112222, db2=ins-11112223], region: ap-guangzhou}", nil},
		"an Elastic IP without anything": {"aws_eip: {keys_file: k}", []string{
			here + "aws_eip.id: is missing; write it, such as eipalloc-0123456789abcdef0",
			here + "aws_eip.region: is missing; write it, such as eu-central-1",
			here + "aws_eip.to: db1 is missing: nothing could lead there if it were primary; add db1=i-0123456789abcdef0",
			here + "aws_eip.to: db2 is missing: nothing could lead there if it were primary; add db2=i-0123456789abcdef0",
		}},
		"nodes that are not right": {"aliyun_eip: {id: eipalloc-1, to: [db1=ins-1, db3=i-1, w1=i-2, i-3, db1=i-2], region: Hangzhou}", []string{
			here + `aliyun_eip.id: "eipalloc-1" is no ID that begins with eip-; write it as eip-2zeerraiwb7uj6i0d0fo3`,
			here + `aliyun_eip.region: "Hangzhou" is no region; write it as cn-hangzhou`,
			here + `aliyun_eip.to[0]: "ins-1" is no ID of i- or eni-…; write it as db1=i-bp67acfmxazb4ph0aaaa`,
			here + `aliyun_eip.to[1]: "db3" is none of nodes:; use db1 or db2`,
			here + "aliyun_eip.to[2]: w1 has no server; remove it",
			here + `aliyun_eip.to[3]: "i-3" does not say of which node it is; write it as db1=i-bp67acfmxazb4ph0aaaa`,
			here + "aliyun_eip.to[4]: db1 stands on line 12 already; name every node once",
			here + "aliyun_eip.to[4]: i-2 stands on line 12 already; two nodes are not the same there",
			here + "aliyun_eip.to: db2 is missing: nothing could lead there if it were primary; add db2=i-bp67acfmxazb4ph0aaaa",
		}},
		"a secondary address of IPv6": {"aws_secondary_ip: {address: 'fd00::1', to: [db1=i-0a1, db2=eni-0a2], region: eu-central-1}", []string{
			here + "aws_secondary_ip.address: fd00::1 is not IPv4, and AWS moves no other; use aws_route for IPv6",
			here + `aws_secondary_ip.to[0]: "i-0a1" is no ID of eni-…; write it as db1=eni-0123456789abcdef0`,
		}},
		"a secondary address without one": {"aws_secondary_ip: {to: [db1=eni-0a1, db2=eni-0a2], region: eu-central-1}", []string{
			here + "aws_secondary_ip.address: is missing; write it, such as 10.77.0.100",
		}},
		"a route with odd parts": {"aws_route: {destination: 10.99.0.1/24, tables: [rtb-1, subnet-1, rtb-1], to: [db1=eni-0a1, db2=eni-0a2], region: eu-central-1}", []string{
			here + "aws_route.destination: 10.99.0.1/24 has bits beyond its length; write 10.99.0.0/24",
			here + `aws_route.tables[1]: "subnet-1" is no ID of a route table; write it as rtb-0123456789abcdef0`,
			here + "aws_route.tables[2]: rtb-1 stands on line 12 already; name every table once",
		}},
		"a route without anything": {"aws_route: {to: [db1=eni-0a1, db2=eni-0a2], region: eu-central-1}", []string{
			here + "aws_route.destination: is missing; write it, such as 10.99.0.1/32",
			here + "aws_route.tables: is missing; write the route tables, such as [rtb-0123456789abcdef0]",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wantFindings(t, good+"endpoints:\n  - {name: app, "+tt.block+"}\n", tt.want...)
		})
	}
}

func TestOnlyANameIsKeptByItsClients(t *testing.T) {
	for block, want := range map[string]time.Duration{
		"etcd: {endpoints: ['http://127.0.0.1:2379'], key: k}":                                        0,
		"dns: {name: db.a.test, zone: a.test, servers: [10.0.0.53], key: k, secret_file: s, ttl: 7s}": 7 * time.Second,
		"route53: {name: db.a.test, zone: Z0123456789ABC, ttl: 8s}":                                   8 * time.Second,
		"alidns: {name: db.a.test, zone: a.test}":                                                     time.Minute,
	} {
		cfg, found := Parse("baton.yaml", []byte(good+"endpoints:\n  - {name: app, "+block+"}\n"))
		if cfg == nil {
			t.Fatal(found)
		}
		if got := cfg.KeptFor(0); got != want {
			t.Errorf("%s: %s, want %s", block, got, want)
		}
	}
}

func TestAFileOfKeysHasAnIDAndASecret(t *testing.T) {
	for block, tt := range map[string]struct {
		content string
		good    bool
	}{
		"route53: {name: db.a.test, zone: Z0123456789ABC, keys_file: keys}":                      {"AK: s3cr3t/+=:x\n", true},
		"alidns: {name: db.a.test, zone: a.test, keys_file: keys}":                               {"s3cr3t\n", false},
		"aliyun_eip: {id: eip-1, to: [db1=i-1, db2=i-2], region: cn-hangzhou, keys_file: keys}":  {"AK:\n", false},
		"cloudflare: {name: db.a.test, zone: 023e105f4ecef8ad9ca31a8372d0c353, keys_file: keys}": {"s3cr3t\n", true},
		"consul: {urls: ['http://127.0.0.1:8500'], key: k, token_file: keys}":                    {"s3cr3t\n", true},
	} {
		_, dir := in(t, "db1")
		put(t, filepath.Join(dir, "keys"), tt.content, 0o600)
		cfg, found := Parse(filepath.Join(dir, "baton.yaml"), []byte(good+"endpoints:\n  - {name: app, "+block+"}\n"))
		if cfg == nil {
			t.Fatal(found)
		}
		_, bad := cfg.Passwords()
		if (len(bad) == 0) != tt.good || strings.Contains(bad.String(), "s3cr3t") || !tt.good && !strings.Contains(bad.String(), "keys_file: "+filepath.Join(dir, "keys")+" does not hold ID:SECRET on one line") {
			t.Errorf("%s: %s", block, bad)
		}
	}
}
