package proxysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// The three layers of ProxySQL's configuration, as its admin interface names the table
// in each: what runs, what is being edited, and what it starts with.
const (
	inRuntime = "runtime_mysql_servers"
	inMemory  = "mysql_servers"
	onDisk    = "disk.mysql_servers"
)

// admin is a connection to one admin interface, opened and closed in one call.
type admin struct {
	db *sql.DB
}

// dial connects. The driver prepares nothing, as no statement has parameters, and says
// nothing of its own after the handshake.
func dial(ctx context.Context, at, user, password string, encrypted *tls.Config) (*admin, error) {
	c := mysql.NewConfig()
	c.TLS = encrypted
	c.User, c.Passwd = user, password
	c.Net, c.Addr = "tcp", at
	c.InterpolateParams = true
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("connect to its admin interface: %w", err)
	}
	a := &admin{sql.OpenDB(connector)}
	a.db.SetMaxOpenConns(1)
	conn, err := a.db.Conn(ctx)
	if err != nil {
		a.close()
		return nil, fmt.Errorf("connect to its admin interface as %s: %w", user, explained(err))
	}
	_ = conn.Close() // back into the pool of one
	return a, nil
}

func (a *admin) close() { _ = a.db.Close() }

// encryption is how TLS is spoken with an admin interface; nil: it is not.
func encryption(o Options) *tls.Config {
	if o.TLS == nil || !o.AnyName {
		return o.TLS
	}
	c := o.TLS.Clone()
	// The library looks at names and authorities, or at neither.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("it has shown no certificate")
		}
		between := x509.NewCertPool()
		for _, cert := range s.PeerCertificates[1:] {
			between.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: c.RootCAs, Intermediates: between})
		return err
	}
	return c
}

// explained adds to an error of ProxySQL's what there is to do about it.
func explained(err error) error {
	var said *mysql.MySQLError
	var name x509.HostnameError
	switch {
	case errors.Is(err, mysql.ErrNoTLS):
		return fmt.Errorf("%w; SET mysql-have_ssl='true', LOAD MYSQL VARIABLES TO RUNTIME, or no encrypted: true", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w; the certificate that ProxySQL made itself has no name: any_name: true takes all that tls.ca signed", err)
	case !errors.As(err, &said):
		return err
	}
	for _, known := range []struct{ in, mend string }{
		{"Access denied", "admin-admin_credentials has to list this user, with this password"},
		{"can only connect locally", "ProxySQL keeps the user admin to its own host: list another one in admin-admin_credentials"},
		{"no such table: " + inMemory, "this user is of admin-stats_credentials: it has to be one of admin-admin_credentials"},
		{"no such table: main." + inMemory, "this user is of admin-stats_credentials: it has to be one of admin-admin_credentials"},
		{"readonly database", "the admin interface is read-only: PROXYSQL READWRITE, and admin-read_only"},
		{"No database selected", "this is a database server, not ProxySQL's admin interface, whose port is 6032"},
		{"doesn't exist", "this is a database server, not ProxySQL's admin interface, whose port is 6032"},
	} {
		if strings.Contains(said.Message, known.in) {
			return fmt.Errorf("%w; %s", err, known.mend)
		}
	}
	return err
}

func (a *admin) exec(ctx context.Context, statement string) error {
	if _, err := a.db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("ask %q: %w", statement, explained(err))
	}
	return nil
}

// query reads all rows of an answer, each into what into returns.
func (a *admin) query(ctx context.Context, statement string, into func() []any) error {
	rows, err := a.db.QueryContext(ctx, statement)
	if err != nil {
		return fmt.Errorf("ask %q: %w", statement, explained(err))
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(into()...); err != nil {
			return fmt.Errorf("ask %q: %w", statement, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("ask %q: %w", statement, err)
	}
	return nil
}

// servers reads the servers of hostgroups in one layer.
func (a *admin) servers(ctx context.Context, layer string, groups []int) ([]row, error) {
	var rows []*row
	err := a.query(ctx, fmt.Sprintf("SELECT hostgroup_id, hostname, port, status, %s FROM %s WHERE hostgroup_id IN (%s) ORDER BY hostgroup_id, hostname, port",
		strings.Join(settings[:], ", "), layer, listed(groups)), func() []any {
		r := &row{}
		rows = append(rows, r)
		into := []any{&r.group, &r.Name, &r.Port, &r.status}
		for i := range r.settings {
			into = append(into, &r.settings[i])
		}
		return into
	})
	if err != nil {
		return nil, err
	}
	var all []row
	for _, r := range rows {
		r.status = strings.ToUpper(r.status)
		all = append(all, *r)
	}
	return all, nil
}

func listed(groups []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(groups), " ", ", "), "[]")
}

// known returns an error for a hostgroup of which ProxySQL has never heard: nobody would
// be led anywhere by a server in it.
func (a *admin) known(ctx context.Context, group int, layers ...[]row) error {
	for _, rows := range layers {
		if slices.ContainsFunc(rows, func(r row) bool { return r.group == group }) {
			return nil
		}
	}
	for _, from := range []string{"runtime_mysql_users WHERE default_hostgroup", "runtime_mysql_query_rules WHERE destination_hostgroup"} {
		var n int
		if err := a.query(ctx, fmt.Sprintf("SELECT COUNT(*) FROM %s=%d", from, group), func() []any { return []any{&n} }); err != nil || n > 0 {
			return err
		}
	}
	return fmt.Errorf("hostgroup %d is not known: it has no servers, and no user and no query rule leads to it", group)
}

// pairs are the hostgroups, each of writers and of readers, between which ProxySQL's
// monitor moves servers, and of which one is among groups; none if it does not run.
func (a *admin) pairs(ctx context.Context, groups []int) (pairs [][2]int, err error) {
	runs := "true"
	err = a.query(ctx, "SELECT variable_value FROM runtime_global_variables WHERE variable_name='mysql-monitor_enabled'", func() []any { return []any{&runs} })
	if err != nil || runs == "false" {
		return nil, err
	}
	var found []*[2]int
	err = a.query(ctx, fmt.Sprintf("SELECT writer_hostgroup, reader_hostgroup FROM runtime_mysql_replication_hostgroups WHERE writer_hostgroup IN (%[1]s) OR reader_hostgroup IN (%[1]s) ORDER BY writer_hostgroup", listed(groups)),
		func() []any { p := &[2]int{}; found = append(found, p); return []any{&p[0], &p[1]} })
	for _, p := range found {
		pairs = append(pairs, *p)
	}
	return pairs, err
}

// pool are the connections to one server, as ProxySQL counts them.
type pool struct {
	row
	used, free int
}

// pools are those of a hostgroup.
func (a *admin) pools(ctx context.Context, group int) ([]pool, error) {
	var found []*pool
	err := a.query(ctx, fmt.Sprintf("SELECT srv_host, srv_port, status, ConnUsed, ConnFree FROM stats_mysql_connection_pool WHERE hostgroup=%d ORDER BY srv_host, srv_port", group), func() []any {
		p := &pool{}
		found = append(found, p)
		return []any{&p.Name, &p.Port, &p.status, &p.used, &p.free}
	})
	var all []pool
	for _, p := range found {
		all = append(all, *p)
	}
	return all, err
}
