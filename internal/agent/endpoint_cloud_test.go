package agent

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/endpoint"
)

// What is wrong with a file of keys is said when the endpoint is opened, without it.
func TestTheKeysOfACloudAreReadFromTheirFileOrOfTheInstance(t *testing.T) {
	named := config.CloudName{Name: "db.shop.test", Zone: "shop.test"}
	held := config.CloudAddress{ID: "eip-1", To: []string{"db1=i-1"}, Region: "cn-hangzhou"}
	e := config.Endpoint{Name: "app", Route53: named, AliDNS: named, DNSPod: named, AWSElasticIP: held, AliyunEIP: held, AliyunHAVIP: held, TencentHAVIP: held,
		AWSSecondaryIP: config.CloudSecondaryIP{Address: netip.MustParseAddr("10.77.0.100")}, AWSRoute: config.CloudRoute{Destination: "10.99.0.1/32"}}
	for _, kind := range []endpoint.Kind{"route53", "alidns", "dnspod", "aws_eip", "aws_secondary_ip", "aws_route", "aliyun_eip", "aliyun_havip", "tencent_havip"} {
		o := opening{Endpoint: e, config: &config.Config{}}
		if _, err := endpointKinds().Open(kind, o); err != nil {
			t.Errorf("%s by the instance's role: %v", kind, err)
		}
		for _, file := range []*string{&o.Route53.KeysFile, &o.AliDNS.KeysFile, &o.DNSPod.KeysFile, &o.AWSElasticIP.KeysFile, &o.AWSSecondaryIP.KeysFile, &o.AWSRoute.KeysFile,
			&o.AliyunEIP.KeysFile, &o.AliyunHAVIP.KeysFile, &o.TencentHAVIP.KeysFile} {
			*file = "cloud.keys"
		}
		o.secret = config.NewSecret("AK:s3cr3t")
		if _, err := endpointKinds().Open(kind, o); err != nil {
			t.Errorf("%s by a file: %v", kind, err)
		}
		o.secret = config.NewSecret("s3cr3t")
		if _, err := endpointKinds().Open(kind, o); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s by a file without an ID: %v", kind, err)
		}
	}
}
