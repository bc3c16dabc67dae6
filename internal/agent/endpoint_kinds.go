package agent

import (
	"log/slog"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/etcdkey"
)

// endpointKinds is every kind of central endpoint that this build has, by the name of
// its block in the configuration.
func endpointKinds() endpoint.Registry[opening] {
	return endpoint.Registry[opening]{
		"etcd":      openEtcdKey,
		"haproxy":   openHAProxy,
		"nginx":     openNginx,
		"proxysql":  openProxySQL,
		"consul":    openConsul,
		"template":  openTemplate,
		"webhook":   openWebhook,
		"zookeeper": openZooKeeper,
		"dns":       openDNSName,

		"mysqlrouter": openMySQLRouter,

		"route53":    openRoute53,
		"cloudflare": openCloudflare,
		"alidns":     openAliDNS,
		"dnspod":     openDNSPod,

		"aws_eip":          openElasticIP,
		"aws_secondary_ip": openSecondaryIP,
		"aws_route":        openAWSRoute,
		"aliyun_eip":       openAliyunEIP,
		"aliyun_havip":     openAliyunHAVIP,
		"tencent_havip":    openTencentHAVIP,
		"frr":              openFRR,
		"bgp":              openBGP,
		"route":            openRoutes,
	}
}

// opening is what an endpoint is made from.
type opening struct {
	config.Endpoint
	config *config.Config
	secret config.Secret // what its block's password file holds
	// neighbors are the passwords of the block's neighbours.
	neighbors []config.Secret
	log       *slog.Logger
	wall      func() time.Time
}

func openEtcdKey(o opening) (endpoint.Endpoint, error) {
	tls, err := clientTLS(o.Etcd.TLS)
	if err != nil {
		return nil, err
	}
	return etcdkey.Open(o.Name, etcdkey.Options{URLs: o.Etcd.Endpoints, Key: o.Etcd.Key, User: o.Etcd.User, Password: o.secret.Reveal(),
		TLS: tls, Cluster: o.config.Cluster, Calls: o.Timeout}), nil
}
