package agent

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/cloudaddr"
	"github.com/baton-db/baton/internal/endpoint/cloudapi"
)

func openElasticIP(o opening) (endpoint.Endpoint, error) {
	e := o.AWSElasticIP
	aws, err := o.aws(e.KeysFile, e.URL, e.Region)
	return o.cloudAddress(&cloudaddr.ElasticIP{AWS: aws, Allocation: e.ID}, e.To, err)
}

func openSecondaryIP(o opening) (endpoint.Endpoint, error) {
	e := o.AWSSecondaryIP
	aws, err := o.aws(e.KeysFile, e.URL, e.Region)
	nodes := slices.Sorted(maps.Values(config.CloudNodes(e.To)))
	return o.cloudAddress(&cloudaddr.SecondaryIP{AWS: aws, Address: e.Address, Nodes: nodes}, e.To, err)
}

func openAWSRoute(o opening) (endpoint.Endpoint, error) {
	e := o.AWSRoute
	to, err := netip.ParsePrefix(e.Destination)
	if err != nil {
		return nil, fmt.Errorf("destination %q: %w", e.Destination, err)
	}
	aws, err := o.aws(e.KeysFile, e.URL, e.Region)
	return o.cloudAddress(&cloudaddr.Route{AWS: aws, Destination: to, Tables: e.Tables}, e.To, err)
}

func openAliyunEIP(o opening) (endpoint.Endpoint, error) {
	e := o.AliyunEIP
	a, err := o.access(e.KeysFile, e.URL, cloudapi.OnECS)
	return o.cloudAddress(&cloudaddr.AliyunEIP{Aliyun: cloudapi.Aliyun{Access: a, Region: e.Region}, Allocation: e.ID}, e.To, err)
}

func openAliyunHAVIP(o opening) (endpoint.Endpoint, error) {
	e := o.AliyunHAVIP
	a, err := o.access(e.KeysFile, e.URL, cloudapi.OnECS)
	return o.cloudAddress(&cloudaddr.AliyunHAVIP{Aliyun: cloudapi.Aliyun{Access: a, Region: e.Region}, ID: e.ID}, e.To, err)
}

func openTencentHAVIP(o opening) (endpoint.Endpoint, error) {
	e := o.TencentHAVIP
	a, err := o.access(e.KeysFile, e.URL, cloudapi.OnCVM)
	return o.cloudAddress(&cloudaddr.TencentHAVIP{Tencent: cloudapi.Tencent{Access: a, Region: e.Region}, ID: e.ID}, e.To, err)
}

func (o opening) aws(keysFile, url, region string) (cloudapi.AWS, error) {
	a, err := o.access(keysFile, url, cloudapi.OnEC2)
	return cloudapi.AWS{Access: a, Region: region}, err
}

// cloudAddress is the endpoint of an address, unless its keys could not be read.
func (o opening) cloudAddress(a cloudaddr.Address, to []string, err error) (endpoint.Endpoint, error) {
	if err != nil {
		return nil, err
	}
	return cloudaddr.Open(o.Name, a, config.CloudNodes(to)), nil
}
