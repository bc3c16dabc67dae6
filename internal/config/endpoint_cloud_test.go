package config

import "testing"

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
		"Alibaba with odd parts": {"alidns: {name: db.example.test, zone: shop.test, url: 'https://me:hunter2@10.0.0.1', ttl: 1500ms, switch_ttl: 2s}", []string{
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
