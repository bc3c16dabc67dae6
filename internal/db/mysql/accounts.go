package mysql

import (
	"context"
	"strings"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// privileges are those of Baton's accounts.
func privileges() wire.Privileges {
	super := []string{"SUPER"}
	return wire.Privileges{
		Agent: []wire.Need{
			{Privilege: "BACKUP_ADMIN", Or: []string{"SUPER", "CLONE_ADMIN"}, Why: "CLONE INSTANCE into another directory, for a server that gets new data"},
			{Privilege: "CONNECTION_ADMIN", Or: super, Why: "KILL, and altering events on a read-only server"},
			{Privilege: "EVENT", Why: "scheduled events"},
			{Privilege: "PROCESS", Why: "other sessions and their transactions"},
			{Privilege: "RELOAD", Why: "RESET REPLICA ALL"},
			{Privilege: "REPLICATION CLIENT", Or: super, Why: "SHOW REPLICA STATUS"},
			{Privilege: "REPLICATION SLAVE", Why: "SHOW REPLICAS"},
			{Privilege: "REPLICATION_SLAVE_ADMIN", Or: super, Why: "replication"},
			{Privilege: "SELECT", Why: "the audit of transactions that only this server has: what columns are called"},
			{Privilege: "SERVICE_CONNECTION_ADMIN", Why: "the administrative port"},
			{Privilege: setDefiner, Or: []string{"SUPER", "SET_USER_ID"}, Why: "leaving events their definer"},
			{Privilege: "SYSTEM_USER", Why: "KILL of administrators' sessions"},
			{Privilege: "SYSTEM_VARIABLES_ADMIN", Or: super, Why: "super_read_only, semi-synchronous commits, sql_log_bin"},
			{Privilege: "SELECT", On: "performance_schema.*", Why: "heartbeats and persisted settings"},
		},
		Replica:  []wire.Need{{Privilege: "BACKUP_ADMIN", Why: "being cloned by another node's server"}},
		Unbound:  []string{"CONNECTION_ADMIN", "SUPER"},
		BySocket: "IDENTIFIED WITH auth_socket",
	}
}

// setDefiner is new in 8.2; before, SET_USER_ID did that and more.
const setDefiner = "SET_ANY_DEFINER"

// LeastPrivilegeSQL returns the statements that make Baton's accounts. On MySQL
// 8.0, where it is not known yet, SET_USER_ID takes the place of
// SET_ANY_DEFINER.
func LeastPrivilegeSQL(a db.Accounts) []string { return privileges().LeastPrivilegeSQL(a) }

// Accounts implements db.Looker.
func (s *Server) Accounts(ctx context.Context) ([]db.AccountFinding, error) {
	id, err := s.Identify(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.Server.Accounts(ctx, privileges())
	if strings.HasPrefix(id.Version, "8.0.") {
		for i, f := range found {
			if f.Privilege == setDefiner {
				found[i].Privilege, found[i].Mend = "SET_USER_ID", strings.Replace(f.Mend, setDefiner, "SET_USER_ID", 1)
			}
		}
	}
	return found, err
}
