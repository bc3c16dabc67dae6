package config

import (
	"fmt"
	"net/netip"
	"regexp"

	"github.com/baton-db/baton/internal/core/cluster"
)

// ProxySQL is a pair of hostgroups in a ProxySQL, or in several.
type ProxySQL struct {
	Admins       []string `key:"admins"`
	User         string   `key:"user"`
	PasswordFile string   `key:"password_file"`
	Encrypted    bool     `key:"encrypted"`
	TLS          TLS      `key:"tls"`
	AnyName      bool     `key:"any_name"`
	Writers      int      `key:"writer_hostgroup"`
	Readers      int      `key:"reader_hostgroup"`
	PrimaryReads bool     `key:"primary_reads"`
	Servers      []string `key:"servers"`
	Save         bool     `key:"save_to_disk"`
}

func proxysqlKeys() []Key {
	return append([]Key{
		key("endpoints[].proxysql.admins", Words).same().like("['10.77.0.60:6032', '10.77.0.61:6032']").
			doc("Hostgroups of ProxySQL, changed at once over its admin interface: the addresses and ports of that. Several are set at the same time, and all must be right.",
				"With nodes: it is that of each of these hosts, such as 127.0.0.1:6032, which its own agent sets; without, the primary's agent sets it."),
		key("endpoints[].proxysql.user", Text).same().like("baton").
			doc("A user of admin-admin_credentials. ProxySQL lets the one named admin in from its own host only."),
		key("endpoints[].proxysql.password_file", File).same().
			doc("The file that holds that user's password."),
		key("endpoints[].proxysql.writer_hostgroup", Integer).byDefault("0").between("0", "2147483647").of("hostgroup").same().
			doc("The hostgroup in which the primary alone is ONLINE. It is Baton's: whatever else is in it becomes OFFLINE_HARD."),
		key("endpoints[].proxysql.reader_hostgroup", Integer).byDefault("0").between("0", "2147483647").of("hostgroup").same().
			doc("The hostgroup of the replicas, to which data nodes are added that are missing. 0: Baton touches none."),
		key("endpoints[].proxysql.primary_reads", YesNo).byDefault("true").same().
			doc("Leave the primary among the readers if it is there. false: it is OFFLINE_HARD there for as long as it is primary."),
		key("endpoints[].proxysql.servers", Words).same().like("[db1=mysql1.example.org, db2=mysql2.example.org]").
			doc("The nodes' hostnames in mysql_servers, where they are not their addresses."),
		key("endpoints[].proxysql.save_to_disk", YesNo).byDefault("true").same().
			doc("Save what was changed (SAVE MYSQL SERVERS TO DISK), so that a ProxySQL that is restarted does not begin with an old primary."),
		key("endpoints[].proxysql.encrypted", YesNo).byDefault("false").same().
			doc("Whether the admin interface is spoken with over TLS, which it offers while mysql-have_ssl is true. Its certificate has to have its address in it, signed by tls.ca."),
		key("endpoints[].proxysql.any_name", YesNo).byDefault("false").same().
			doc("Take every certificate that tls.ca signed, whatever name it has: the one that ProxySQL makes itself (proxysql-ca.pem is its authority) has none."),
	}, tlsKeys("endpoints[].proxysql")...)
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

func (l *loader) judgeProxySQL(block string, endpoint Endpoint) {
	p := endpoint.ProxySQL
	if len(p.Admins) == 0 {
		l.report(block+".admins", "is missing", "write where the admin interface is, such as ['10.77.0.60:6032']")
	}
	seen := map[string]int{}
	for i, s := range p.Admins {
		path := at(block+".admins", i, "")
		l.once(seen, path, s, "name every ProxySQL once")
		if on, err := netip.ParseAddrPort(s); err != nil || on.Port() == 0 {
			l.report(path, fmt.Sprintf("%q is no address with a port", s), "write it like 10.77.0.60:6032")
		}
	}
	if p.User == "" || p.PasswordFile == "" {
		l.report(block+".user", "ProxySQL lets nobody in without a user and a password", "give both user and password_file")
	}
	if !p.Encrypted && (p.TLS != (TLS{}) || p.AnyName) {
		l.report(block+".tls", "nothing is encrypted", "add encrypted: true, or remove tls and any_name")
	}
	if p.AnyName && p.TLS.CA == "" {
		l.report(block+".any_name", "would take a certificate from everybody whom some authority knows", "give tls.ca, such as a copy of ProxySQL's proxysql-ca.pem")
	}
	l.judgeTLS(block, p.TLS)
	if p.Readers != 0 && p.Readers == p.Writers {
		l.report(block+".reader_hostgroup", fmt.Sprintf("%d is the writers' hostgroup", p.Readers), "give the hostgroup of the replicas, or leave it out")
	}
	l.judgeByNode(block+".servers", p.Servers, "hostname", "db1=mysql1.example.org", func(path, host string) {
		if _, err := netip.ParseAddr(host); err != nil && !hostname.MatchString(host) {
			l.report(path, fmt.Sprintf("%q is no hostname", host), "write it as mysql_servers has it")
		}
	})
}

// HostNames are the hostnames of the nodes' servers, where they are not addresses.
func (p ProxySQL) HostNames() map[cluster.NodeName]string {
	return byNode(p.Servers)
}
