package agent

import (
	"strings"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/cloudapi"
	"github.com/baton-db/baton/internal/endpoint/clouddns"
)

func openRoute53(o opening) (endpoint.Endpoint, error) {
	a, err := o.access(o.Route53.KeysFile, o.Route53.URL, cloudapi.OnEC2)
	if err != nil {
		return nil, err
	}
	zone := &clouddns.Route53{AWS: cloudapi.AWS{Access: a}, Zone: o.Route53.Zone}
	if strings.HasSuffix(a.URL, ".amazonaws.com.cn") {
		zone.Region = "cn-northwest-1"
	}
	return o.cloudName(o.Route53, zone), nil
}

func openCloudflare(o opening) (endpoint.Endpoint, error) {
	a := cloudapi.Access{URL: o.Cloudflare.URL, Keys: cloudapi.Fixed{Token: o.secret.Reveal()}, Wall: o.wall}
	return o.cloudName(o.Cloudflare, &clouddns.Cloudflare{Cloudflare: cloudapi.Cloudflare{Access: a}, Zone: o.Cloudflare.Zone}), nil
}

func openAliDNS(o opening) (endpoint.Endpoint, error) {
	a, err := o.access(o.AliDNS.KeysFile, o.AliDNS.URL, cloudapi.OnECS)
	if err != nil {
		return nil, err
	}
	return o.cloudName(o.AliDNS, &clouddns.AliDNS{Aliyun: cloudapi.Aliyun{Access: a}, Zone: inLower(o.AliDNS.Zone)}), nil
}

func openDNSPod(o opening) (endpoint.Endpoint, error) {
	a, err := o.access(o.DNSPod.KeysFile, o.DNSPod.URL, cloudapi.OnCVM)
	if err != nil {
		return nil, err
	}
	return o.cloudName(o.DNSPod, &clouddns.DNSPod{Tencent: cloudapi.Tencent{Access: a}, Zone: inLower(o.DNSPod.Zone)}), nil
}

func inLower(zone string) string { return strings.ToLower(strings.TrimSuffix(zone, ".")) }

// access is how a vendor is reached: with the keys of the file, or with those of the
// instance's role if there is none.
func (o opening) access(keysFile, url string, instance func() *cloudapi.Instance) (cloudapi.Access, error) {
	a := cloudapi.Access{URL: url, Wall: o.wall}
	if keysFile == "" {
		role := instance()
		role.Wall = o.wall
		a.Keys = role
		return a, nil
	}
	keys, err := cloudapi.ParseKeys(o.secret.Reveal())
	a.Keys = keys
	return a, err
}

func (o opening) cloudName(n config.CloudName, zone clouddns.Zone) endpoint.Endpoint {
	return clouddns.Open(o.Name, clouddns.Options{Name: n.Name, Zone: zone, TTL: n.TTL, SwitchTTL: n.SwitchTTL, SwitchFor: n.SwitchFor,
		Cluster: o.config.Cluster, NodeOf: o.nodeOf, Resolvers: dnsServers(n.Resolvers)})
}
