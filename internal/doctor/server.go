package doctor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/flavor"
)

// Servers are those of the cluster: this host's over its unix socket as the
// agent, the others over TCP as the account of probes, which may do nothing but
// log in and read variables.
type Servers struct {
	cfg       *config.Config
	passwords config.Passwords
	patience  time.Duration
}

var _ config.ServerLooker = Servers{}

func newServers(cfg *config.Config, patience time.Duration) Servers {
	passwords, _ := cfg.Passwords() // what is wrong with the files is said by Config.CheckFiles
	return Servers{cfg: cfg, passwords: passwords, patience: patience}
}

// LookAtServer implements config.ServerLooker.
func (s Servers) LookAtServer(ctx context.Context, n config.Node) (config.ServerSeen, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	server := s.cfg.ServerOf(n.Name)
	if n.Name != s.cfg.Node {
		at := netip.AddrPortFrom(n.Address, uint16(server.Port)).String()
		seen, err := ask(ctx, "tcp", at, db.Account{User: server.Probe.User, Password: s.passwords.Probe.Reveal()})
		if err == nil && !s.cfg.Witness() && !server.Replication.TLS {
			seen.Privileges = s.replication(ctx, at, server.Replication)
		}
		return seen, err
	}
	agent := db.Account{User: server.User, Password: s.passwords.Agent.Reveal()}
	seen, err := ask(ctx, "unix", server.Socket, agent)
	if err != nil || seen.Flavor != server.Flavor {
		return seen, err // of another flavor nothing more can be said
	}
	return s.own(ctx, seen, server, agent)
}

// own asks this host's server what its driver knows.
func (s Servers) own(ctx context.Context, seen config.ServerSeen, server config.Server, agent db.Account) (config.ServerSeen, error) {
	speaks, err := flavor.Of(server.Flavor)
	if err != nil {
		return seen, err
	}
	driver, err := speaks.Open(db.Config{
		Socket: server.Socket, ExtraPort: server.ExtraPort, Agent: agent,
		Writer: db.Account{User: server.Writer.User, Password: s.passwords.Writer.Reveal()},
		NodeOf: func(string, int) (cluster.NodeName, bool) { return "", false }, // whom it follows is not asked
	})
	if err != nil {
		return seen, err
	}
	defer driver.Close()
	id, err := driver.Identify(ctx)
	if err != nil {
		return seen, asSilence(err)
	}
	seen.Local = true
	seen.Version, seen.ID, seen.BinLog, seen.LogUpdates = id.Version, id.ID, id.BinLog, id.LogUpdates
	seen.Port, seen.ExtraPort, seen.RowFormat, seen.StrictGTID, seen.SemiSync = id.Port, id.ExtraPort, id.RowFormat, id.StrictGTID, id.SemiSync
	seen.LosesOnPower, seen.NoGTID, seen.NoHeartbeat, seen.DropsUnapplied = id.LosesOnPower, id.NoGTID, id.NoHeartbeat, id.DropsUnapplied
	seen.Restart = config.Restart{Known: id.Restart.Known, Why: id.Restart.Why, ReadOnly: id.Restart.ReadOnly, HoldReplication: id.Restart.HoldReplication, OwnAgain: id.Restart.OwnAgain}
	if clones, can := driver.(db.Cloning); can {
		seen.NoClone = errors.Is(clones.ServesClones(ctx), db.ErrNoClone)
	}
	found, err := driver.Accounts(ctx)
	for _, f := range found {
		seen.Privileges = append(seen.Privileges, config.Privilege{Account: f.Account, Name: f.Privilege, Excess: f.Excess, Mend: f.Mend})
	}
	switch err = asSilence(err); {
	case err == nil:
	case errors.Is(err, config.ErrServerSilent):
		return seen, err
	default: // the agent was let in above, so it is the account of the write probe
		seen.Privileges = append(seen.Privileges, config.Privilege{
			Account: "'" + server.Writer.User + "'@'localhost'", Name: "to log in",
			Mend: fmt.Sprintf("run accounts.sql of `baton init` on the primary, or give the account the password in %s: %v", server.Writer.PasswordFile, err),
		})
	}
	return seen, nil
}

// replication reports what keeps this host's server from replicating from the
// one at address. An account that must encrypt is not tried: the password would
// have to be shown to whoever answers.
func (s Servers) replication(ctx context.Context, address string, account config.Replication) []config.Privilege {
	pool, err := open("tcp", address, db.Account{User: account.User, Password: s.passwords.Replication.Reveal()})
	if err != nil {
		return nil // an account without a name: the file is judged for that
	}
	defer pool.Close()
	var who string
	err = pool.QueryRowContext(ctx, "SELECT CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))").Scan(&who)
	if err = asSilence(err); err != nil {
		if errors.Is(err, config.ErrServerSilent) {
			return nil // it has just answered; that will be said of it another time
		}
		return []config.Privilege{{Account: "'" + account.User + "'@'" + s.cfg.Self().Address.String() + "'", Name: "to log in",
			Mend: fmt.Sprintf("run accounts.sql of `baton init` on the primary, or give the account the password in %s: %v", account.PasswordFile, err)}}
	}
	var may int
	err = pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type IN ('REPLICATION SLAVE', 'REPLICATION REPLICA') AND grantee = ?", who).Scan(&may)
	if err != nil || may > 0 {
		return nil
	}
	const needs = "REPLICATION SLAVE"
	return []config.Privilege{{Account: who, Name: needs, Mend: fmt.Sprintf("GRANT %s ON *.* TO %s", needs, who)}}
}

// open prepares a connection, and connects to nothing yet.
func open(network, address string, a db.Account) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = a.User, a.Password, network, address
	c.InterpolateParams = true
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:baton-check"
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("connect to %s as %s: %w", address, a.User, err)
	}
	return sql.OpenDB(connector), nil
}

// ask reads what every account may read of every server.
func ask(ctx context.Context, network, address string, a db.Account) (config.ServerSeen, error) {
	pool, err := open(network, address, a)
	if err != nil {
		return config.ServerSeen{}, err
	}
	defer pool.Close()
	v, err := variables(ctx, pool)
	if err != nil {
		return config.ServerSeen{}, fmt.Errorf("ask the server at %s as %s: %w", address, a.User, asSilence(err))
	}
	id, _ := strconv.ParseUint(v["server_id"], 10, 32) // no number: unknown, as 0 is
	seen := config.ServerSeen{Flavor: config.MySQL, Version: v["version"], ID: uint32(id), BinLog: v["log_bin"] == "ON"}
	seen.LogUpdates = v["log_slave_updates"] == "ON" || v["log_replica_updates"] == "ON"
	if _, only := v["gtid_strict_mode"]; only || strings.Contains(v["version"], "MariaDB") {
		seen.Flavor = config.MariaDB
	}
	return seen, nil
}

// variables reads those that there are; the flavors have different ones.
func variables(ctx context.Context, pool *sql.DB) (map[string]string, error) {
	rows, err := pool.QueryContext(ctx, `SHOW GLOBAL VARIABLES WHERE Variable_name IN
		('version', 'server_id', 'log_bin', 'log_slave_updates', 'log_replica_updates', 'gtid_strict_mode')`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		all[name] = value
	}
	return all, rows.Err()
}

// refusals are the errors by which a server turns an account away for as long
// as nobody changes that: access denied, host not allowed, no such plugin,
// password expired (MariaDB Knowledge Base, "MariaDB Error Codes").
var refusals = [...]uint16{1044, 1045, 1130, 1227, 1251, 1524, 1698, 1820, 1862}

// asSilence marks every error but a refusal: that tells of the server, the others
// only that there was no answer.
func asSilence(err error) error {
	if err == nil || errors.Is(err, config.ErrServerSilent) {
		return err
	}
	if said, ok := errors.AsType[*mysql.MySQLError](err); ok && slices.Contains(refusals[:], said.Number) {
		return err
	}
	for _, refusal := range []error{mysql.ErrUnknownPlugin, mysql.ErrNativePassword, mysql.ErrOldPassword, mysql.ErrCleartextPassword} {
		if errors.Is(err, refusal) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", config.ErrServerSilent, err)
}
