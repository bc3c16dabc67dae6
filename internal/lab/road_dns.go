package lab

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// A name in a zone of BIND's, which agents update (RFC 2136). Clients ask Unbound, which
// keeps what it was told for the record's time to live.
const (
	roadZone = "shop.test."
	roadName = "db.shop.test."
	roadKey  = "baton."
)

func dnsRoad() Road {
	r := Road{
		Name: "dns", Help: "a name in a zone of BIND's, updated by RFC 2136; clients ask Unbound",
		needs: []need{{file: "named", pack: "bind9"}, {file: "unbound", pack: "unbound"}},
		files: func(l *Lab) error {
			return writeFile(l.path("secrets", "tsig.secret"), []byte(l.tsigSecret()+"\n"), 0o600)
		},
		endpoint: func(l *Lab) section {
			return section{"dns": section{"name": roadName, "zone": roadZone, "servers": []string{l.bindAt()}, "key": roadKey,
				"secret_file": l.path("secrets", "tsig.secret"), "ttl": "1s", "switch_ttl": "1s"}}
		},
		leads: func(ctx context.Context, l *Lab) (string, error) {
			return l.overDNS(ctx, "cl", l.unboundAt(), roadName)
		},
		source: func(ctx context.Context, l *Lab) (string, error) { return l.overDNS(ctx, "cl", l.bindAt(), roadName) },
		meddle: func(ctx context.Context, l *Lab, to string) error { return l.updateByHand(ctx, to) },
	}
	r.daemons = func(l *Lab) []daemon { return []daemon{l.bind(r), l.unbound(r)} }
	return r
}

func (l *Lab) bindAt() string    { return l.address(servicesName) + ":5353" }
func (l *Lab) unboundAt() string { return l.address(servicesName) + ":53" }

// tsigSecret is that of the key which may update the zone: any would do.
func (l *Lab) tsigSecret() string { return base64.StdEncoding.EncodeToString([]byte(l.Secrets.App)) }

func (l *Lab) bind(r Road) daemon {
	return daemon{
		name: "named", host: servicesName, args: []string{l.path(servicesName, "named"), "-g", "-n", "1", "-c", l.path(servicesName, "named.conf")},
		prepare: func(ctx context.Context) error {
			conf := fmt.Sprintf(`options {
	directory "%[1]s"; pid-file none; session-keyfile none; lock-file none; managed-keys-directory "%[1]s";
	listen-on port 5353 { %[2]s; }; listen-on-v6 { none; };
	recursion no; dnssec-validation no; empty-zones-enable no; notify no; allow-transfer { none; };
};
controls { };
key "%[3]s" { algorithm hmac-sha256; secret "%[4]s"; };
zone "%[5]s" { type primary; file "zone"; update-policy { grant %[3]s zonesub A AAAA CNAME TXT; }; };
`, l.path(servicesName), l.address(servicesName), roadKey, l.tsigSecret(), roadZone)
			zone := fmt.Sprintf("$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 1\n@ IN NS ns\nns IN A %s\n", l.address(servicesName))
			return all(
				func() error { return l.unconfined(ctx, servicesName, r.program("named")) },
				func() error { return writeFile(l.path(servicesName, "named.conf"), []byte(conf), 0o600) },
				func() error { return writeOnce(l.path(servicesName, "zone"), zone) },
			)
		},
		ready: func(ctx context.Context) error { return l.serves(ctx, l.bindAt(), roadZone) },
	}
}

// unbound is the resolver that clients ask, for BIND's zone and for that of the agents.
func (l *Lab) unbound(r Road) daemon {
	return daemon{
		name: "unbound", host: servicesName, args: []string{l.path(servicesName, "unbound"), "-d", "-p", "-c", l.path(servicesName, "unbound.conf")},
		prepare: func(ctx context.Context) error {
			conf := fmt.Sprintf(`server:
    directory: %q
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    num-threads: 1
    interface: %s@53
    access-control: 10.77.0.0/16 allow
    module-config: "iterator"
    local-zone: "test." nodefault
    infra-host-ttl: 0
remote-control:
    control-enable: no
stub-zone:
    name: %q
    stub-addr: %s@5353
stub-zone:
    name: %q
`, l.path(servicesName), l.address(servicesName), roadZone, l.address(servicesName), agentsZone)
			for _, n := range l.Nodes() {
				conf += "    stub-addr: " + l.address(n) + "\n"
			}
			return all(
				func() error { return l.unconfined(ctx, servicesName, r.program("unbound")) },
				func() error { return writeFile(l.path(servicesName, "unbound.conf"), []byte(conf), 0o600) },
			)
		},
		ready: func(ctx context.Context) error { return l.resolves(ctx, l.unboundAt()) },
	}
}

// serves reports whether a name server answers for a zone.
func (l *Lab) serves(ctx context.Context, server, zone string) error {
	m := new(dns.Msg)
	m.SetQuestion(zone, dns.TypeSOA)
	answer, err := l.exchange(ctx, servicesName, server, m, nil)
	if err == nil && (answer.Rcode != dns.RcodeSuccess || len(answer.Answer) == 0) {
		err = fmt.Errorf("%s for the SOA record of %s", dns.RcodeToString[answer.Rcode], zone)
	}
	return err
}

// resolves reports whether a resolver answers at all.
func (l *Lab) resolves(ctx context.Context, server string) error {
	m := new(dns.Msg)
	m.SetQuestion("localhost.", dns.TypeA)
	_, err := l.exchange(ctx, servicesName, server, m, nil)
	return err
}

// updateByHand sets the name's address with nsupdate's means.
func (l *Lab) updateByHand(ctx context.Context, to string) error {
	m := new(dns.Msg)
	m.SetUpdate(roadZone)
	rr, err := dns.NewRR(fmt.Sprintf("%s 60 IN A %s", roadName, l.address(to)))
	if err != nil {
		return err
	}
	m.RemoveRRset([]dns.RR{rr})
	m.Insert([]dns.RR{rr})
	m.SetTsig(roadKey, dns.HmacSHA256, 300, time.Now().Unix())
	answer, err := l.exchange(ctx, "cl", l.bindAt(), m, map[string]string{roadKey: l.tsigSecret()})
	if err == nil && answer.Rcode != dns.RcodeSuccess {
		err = errors.New(dns.RcodeToString[answer.Rcode])
	}
	return err
}
