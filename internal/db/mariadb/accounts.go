package mariadb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/db"
)

// Accounts are the users that Baton has on every server of a cluster.
type Accounts struct {
	// Agent looks and takes steps, from the server's own host. An empty
	// password lets in the operating system's user of that name and nobody
	// else (MariaDB's unix_socket authentication).
	Agent db.Account
	// Probe writes Baton's own rows from the server's own host, and from other
	// hosts may do nothing but log in.
	Probe db.Account
	// Replication is for the replicas.
	Replication db.Account
	// From are the hosts that replicas and observers connect from, in the
	// server's notation; none means everywhere.
	From []string
}

// agentNeeds are the agent's privileges on everything, each with what for.
// SUPER stands in for some of them, on servers whose accounts are that old.
var agentNeeds = [...]struct {
	privilege string
	super     bool // SUPER includes it
	why       string
}{
	{"BINLOG ADMIN", true, "sql_log_bin, for what must leave no trace"},
	{"BINLOG MONITOR", true, "SHOW BINLOG EVENTS, for the beginning of the binary log"},
	{"CONNECTION ADMIN", true, "KILL, and one more connection when the slots are used up"},
	{"EVENT", false, "scheduled events"},
	{"PROCESS", false, "other sessions and their transactions"},
	{"READ_ONLY ADMIN", false, "read_only"},
	{"RELOAD", false, "RESET SLAVE ALL"},
	{"REPLICATION MASTER ADMIN", true, "semi-synchronous commits, SHOW SLAVE HOSTS"},
	{"REPLICATION SLAVE ADMIN", true, "replication"},
	{"SET USER", true, "leaving events their definer"},
	{"SLAVE MONITOR", true, "SHOW ALL SLAVES STATUS, SHOW RELAYLOG EVENTS"},
}

// writerNeeds are the privileges of the local probe account on Baton's schema.
var writerNeeds = [...]string{"CREATE", "DELETE", "INSERT", "SELECT", "UPDATE"}

// LeastPrivilegeSQL returns the statements that make the accounts, to be run on
// the primary by an administrator. They may be run again.
func LeastPrivilegeSQL(a Accounts) []string {
	from := a.From
	if len(from) == 0 {
		from = []string{"%"}
	}
	var statements []string
	user := func(account db.Account, host string) string {
		who := quote(account.User) + "@" + quote(host)
		with := "IDENTIFIED VIA unix_socket"
		if account.Password != "" {
			with = "IDENTIFIED BY " + quote(account.Password)
		}
		statements = append(statements, fmt.Sprintf("CREATE USER IF NOT EXISTS %s %s", who, with))
		return who
	}
	grant := func(privileges, on, to string) {
		statements = append(statements, fmt.Sprintf("GRANT %s ON %s TO %s", privileges, on, to))
	}
	var needs []string
	for _, n := range agentNeeds {
		needs = append(needs, n.privilege)
	}
	// The loopback address is for extra_port, which has no unix socket.
	for _, host := range []string{"localhost", "127.0.0.1"} {
		if host != "localhost" && a.Agent.Password == "" {
			continue
		}
		agent := user(a.Agent, host)
		grant(strings.Join(needs, ", "), "*.*", agent)
		grant("SELECT", db.Schema+".*", agent)
	}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		grant(strings.Join(writerNeeds[:], ", "), db.Schema+".*", user(a.Probe, host))
	}
	for _, host := range from {
		user(a.Probe, host)
		grant("REPLICATION SLAVE", "*.*", user(a.Replication, host))
	}
	return statements
}

// Accounts implements db.Looker.
func (s *Server) Accounts(ctx context.Context) ([]db.AccountFinding, error) {
	var found []db.AccountFinding
	err := s.look.use(ctx, func(l *link) error {
		who, has, err := privileges(ctx, l)
		found = append(found, agentFindings(who, has)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the agent's privileges: %w", err)
	}
	l, err := s.dialer(s.config.Writer, false)(ctx)
	if err != nil {
		return found, fmt.Errorf("look at the probe's privileges: %w", err)
	}
	defer l.close()
	who, has, err := privileges(ctx, l)
	if err != nil {
		return found, fmt.Errorf("look at the probe's privileges: %w", err)
	}
	return append(found, writerFindings(who, has)...), nil
}

// privileges returns who a connection is, and what it may do on everything and
// on Baton's schema.
func privileges(ctx context.Context, l *link) (who string, has []string, err error) {
	const grantee = "CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))"
	got, err := l.query(ctx, `SELECT `+grantee+` AS who, privilege_type AS p FROM information_schema.user_privileges WHERE grantee = `+grantee+`
		UNION SELECT `+grantee+`, privilege_type FROM information_schema.schema_privileges WHERE grantee = `+grantee+` AND table_schema = ?`, db.Schema)
	if err != nil {
		return "", nil, err
	}
	for _, row := range got {
		who = row["who"]
		has = append(has, row["p"])
	}
	return who, has, nil
}

func agentFindings(who string, has []string) []db.AccountFinding {
	var found []db.AccountFinding
	super := slices.Contains(has, "SUPER")
	for _, n := range agentNeeds {
		if !slices.Contains(has, n.privilege) && (!n.super || !super) {
			found = append(found, lacks(who, n.privilege, "*.*"))
		}
	}
	if !slices.Contains(has, "SELECT") {
		found = append(found, lacks(who, "SELECT", db.Schema+".*"))
	}
	return found
}

func writerFindings(who string, has []string) []db.AccountFinding {
	var found []db.AccountFinding
	for _, p := range writerNeeds {
		if !slices.Contains(has, p) {
			found = append(found, lacks(who, p, db.Schema+".*"))
		}
	}
	if unbound := "READ_ONLY ADMIN"; slices.Contains(has, unbound) {
		found = append(found, db.AccountFinding{
			Account: who, Privilege: unbound, Excess: true,
			Mend: fmt.Sprintf("REVOKE %s ON *.* FROM %s", unbound, who),
		})
	}
	return found
}

func lacks(who, privilege, on string) db.AccountFinding {
	return db.AccountFinding{Account: who, Privilege: privilege, Mend: fmt.Sprintf("GRANT %s ON %s TO %s", privilege, on, who)}
}
