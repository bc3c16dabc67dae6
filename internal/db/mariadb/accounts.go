package mariadb

import (
	"context"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// privileges are those of Baton's accounts. SUPER stands in for some of them, on
// servers whose accounts are that old.
func privileges() wire.Privileges {
	super := []string{"SUPER"}
	return wire.Privileges{
		Agent: []wire.Need{
			{Privilege: "BINLOG ADMIN", Or: super, Why: "sql_log_bin, for what must leave no trace"},
			{Privilege: "BINLOG MONITOR", Or: super, Why: "SHOW BINLOG EVENTS, for the beginning of the binary log"},
			{Privilege: "BINLOG REPLAY", Or: super, Why: "BINLOG, to undo transactions that only this server has"},
			{Privilege: "CONNECTION ADMIN", Or: super, Why: "KILL, and one more connection when the slots are used up"},
			{Privilege: "EVENT", Why: "scheduled events"},
			{Privilege: "PROCESS", Why: "other sessions and their transactions"},
			{Privilege: "READ_ONLY ADMIN", Why: "read_only"},
			{Privilege: "RELOAD", Why: "RESET SLAVE ALL, RESET MASTER"},
			{Privilege: "REPLICATION MASTER ADMIN", Or: super, Why: "semi-synchronous commits, SHOW SLAVE HOSTS"},
			{Privilege: "REPLICATION SLAVE ADMIN", Or: super, Why: "replication"},
			{Privilege: "SELECT", Why: "the audit of such transactions: what columns are called, whether rows are as they were"},
			{Privilege: "SET USER", Or: super, Why: "leaving events their definer"},
			{Privilege: "SLAVE MONITOR", Or: super, Why: "SHOW ALL SLAVES STATUS, SHOW RELAYLOG EVENTS"},
			{Privilege: "INSERT", On: markers, Why: markersWhy},
			{Privilege: "UPDATE", On: markers, Why: markersWhy},
		},
		Unbound:  []string{"READ_ONLY ADMIN"},
		BySocket: "IDENTIFIED VIA unix_socket",
	}
}

// The transaction that leaves numbers out is written while the server is read-only,
// which binds the account that writes other markers.
const (
	markers    = db.Schema + ".*"
	markersWhy = "the marker of a reign, in the transaction that leaves numbers out"
)

// LeastPrivilegeSQL returns the statements that make Baton's accounts.
func LeastPrivilegeSQL(a db.Accounts) []string { return privileges().LeastPrivilegeSQL(a) }

// Accounts implements db.Looker.
func (s *Server) Accounts(ctx context.Context) ([]db.AccountFinding, error) {
	return s.Server.Accounts(ctx, privileges())
}
