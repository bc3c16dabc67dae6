package wire

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/db"
)

// A Need is a privilege that an account must have.
type Need struct {
	Privilege string
	On        string   // empty: *.*
	Or        []string // any of these will do instead, on everything
	Why       string
}

func (n Need) on() string {
	if n.On == "" {
		return "*.*"
	}
	return n.On
}

// Privileges are those of Baton's accounts in the words of a dialect.
type Privileges struct {
	Agent []Need
	// Replica are those of the account that replicas connect with, besides
	// replication.
	Replica []Need
	// Unbound are those by which an account could write on a read-only server.
	Unbound []string
	// BySocket is how CREATE USER admits the operating system's user.
	BySocket string
}

// ownSchema is everything in Baton's schema.
const ownSchema = db.Schema + ".*"

// writerNeeds are the privileges of the local probe account.
func writerNeeds() (needs []Need) {
	for _, p := range []string{"CREATE", "DELETE", "INSERT", "SELECT", "UPDATE"} {
		needs = append(needs, Need{Privilege: p, On: ownSchema})
	}
	return needs
}

// agentNeeds are the privileges of the agent's account.
func (p Privileges) agentNeeds() []Need {
	return append(slices.Clone(p.Agent), Need{Privilege: "SELECT", On: ownSchema})
}

// LeastPrivilegeSQL returns the statements that make the accounts, to be run on
// the primary by an administrator. They may be run again.
func (p Privileges) LeastPrivilegeSQL(a db.Accounts) []string {
	from := a.From
	if len(from) == 0 {
		from = []string{"%"}
	}
	var statements []string
	user := func(account db.Account, host string) string {
		who := Quote(account.User) + "@" + Quote(host)
		with := p.BySocket
		if account.Password != "" {
			with = "IDENTIFIED BY " + Quote(account.Password)
		}
		statements = append(statements, fmt.Sprintf("CREATE USER IF NOT EXISTS %s %s", who, with))
		return who
	}
	grant := func(needs []Need, to string) {
		var places []string
		of := map[string][]string{}
		for _, n := range needs {
			if of[n.on()] == nil {
				places = append(places, n.on())
			}
			of[n.on()] = append(of[n.on()], n.Privilege)
		}
		for _, place := range places {
			statements = append(statements, fmt.Sprintf("GRANT %s ON %s TO %s", strings.Join(of[place], ", "), place, to))
		}
	}
	// The loopback address is for the extra port, which has no unix socket.
	for _, host := range []string{"localhost", "127.0.0.1"} {
		if host == "localhost" || a.Agent.Password != "" {
			grant(p.agentNeeds(), user(a.Agent, host))
		}
	}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		grant(writerNeeds(), user(a.Probe, host))
	}
	for _, host := range from {
		user(a.Probe, host)
		grant(append([]Need{{Privilege: "REPLICATION SLAVE"}}, p.Replica...), user(a.Replication, host))
	}
	return statements
}

// Accounts compares what Baton's accounts may do with what they must.
func (s *Server) Accounts(ctx context.Context, p Privileges) ([]db.AccountFinding, error) {
	var found []db.AccountFinding
	err := s.Look.Use(ctx, func(l *Link) error {
		who, has, err := granted(ctx, l)
		found = append(found, lacking(who, has, p.agentNeeds())...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the agent's privileges: %w", err)
	}
	l, err := s.DialWriter(ctx)
	if err != nil {
		return found, fmt.Errorf("look at the probe's privileges: %w", err)
	}
	defer l.Close()
	who, has, err := granted(ctx, l)
	if err != nil {
		return found, fmt.Errorf("look at the probe's privileges: %w", err)
	}
	found = append(found, lacking(who, has, writerNeeds())...)
	for _, unbound := range p.Unbound {
		if slices.Contains(has["*.*"], unbound) {
			found = append(found, db.AccountFinding{
				Account: who, Privilege: unbound, Excess: true,
				Mend: fmt.Sprintf("REVOKE %s ON *.* FROM %s", unbound, who),
			})
		}
	}
	return found, nil
}

// granted returns who a connection is, and what it may do where.
func granted(ctx context.Context, l *Link) (who string, has map[string][]string, err error) {
	const grantee = "CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))"
	got, err := l.Query(ctx, `SELECT `+grantee+` AS who, '*.*' AS place, privilege_type AS p FROM information_schema.user_privileges WHERE grantee = `+grantee+`
		UNION SELECT `+grantee+`, CONCAT(table_schema, '.*'), privilege_type FROM information_schema.schema_privileges WHERE grantee = `+grantee)
	if err != nil {
		return "", nil, err
	}
	has = map[string][]string{}
	for _, row := range got {
		who = row["who"]
		has[row["place"]] = append(has[row["place"]], row["p"])
	}
	return who, has, nil
}

// lacking returns the needs that are not met.
func lacking(who string, has map[string][]string, needs []Need) (found []db.AccountFinding) {
	for _, n := range needs {
		met := slices.Contains(has["*.*"], n.Privilege) || slices.Contains(has[n.on()], n.Privilege)
		for _, or := range n.Or {
			met = met || slices.Contains(has["*.*"], or)
		}
		if !met {
			found = append(found, db.AccountFinding{Account: who, Privilege: n.Privilege, Mend: fmt.Sprintf("GRANT %s ON %s TO %s", n.Privilege, n.on(), who)})
		}
	}
	return found
}
