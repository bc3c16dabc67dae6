package mysql

import (
	"context"
	"strings"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// identify reads what is fixed for one life of a server. The binary log's format
// is asked for by name pattern, for it may go: MySQL has deprecated it.
func identify(ctx context.Context, l *wire.Link) (db.Identity, error) {
	got, err := l.Query(ctx, `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'server_id', 'server_uuid', 'log_bin',
		'log_replica_updates', 'binlog_format', 'gtid_mode', 'enforce_gtid_consistency', 'event_scheduler', 'datadir', 'port',
		'admin_address', 'admin_port', 'pid_file', 'sync_binlog', 'innodb_flush_log_at_trx_commit', 'performance_schema',
		'relay_log_recovery', 'rpl_semi_sync_source_enabled', 'rpl_semi_sync_replica_enabled')`)
	if err != nil {
		return db.Identity{}, err
	}
	v := map[string]string{}
	for _, row := range got {
		v[row["Variable_name"]] = row["Value"]
	}
	_, source := v["rpl_semi_sync_source_enabled"]
	_, replica := v["rpl_semi_sync_replica_enabled"]
	id := db.Identity{
		Flavor:        "mysql",
		Version:       v["version"],
		ID:            uint32(wire.Number(v["server_id"])),
		BinLog:        wire.IsOn(v["log_bin"]),
		LogUpdates:    wire.IsOn(v["log_replica_updates"]),
		RowFormat:     v["binlog_format"],
		SemiSync:      source && replica,
		EventsEnabled: wire.IsOn(v["event_scheduler"]),
		DataDir:       v["datadir"],
		Port:          int(wire.Number(v["port"])),
		LosesOnPower:  wire.LosesOnPower(v["sync_binlog"], v["innodb_flush_log_at_trx_commit"]),
		PID:           wire.PIDFrom(v["pid_file"]),

		NoGTID:         !strings.EqualFold(v["gtid_mode"], "ON") || !strings.EqualFold(v["enforce_gtid_consistency"], "ON"),
		NoHeartbeat:    !wire.IsOn(v["performance_schema"]),
		DropsUnapplied: wire.IsOn(v["relay_log_recovery"]),
	}
	if v["admin_address"] != "" { // without an address, nothing listens on that port
		id.ExtraPort = int(wire.Number(v["admin_port"]))
	}
	return id, nil
}

// persisted are the options of SET PERSIST, which override option files and
// command line.
func persisted(ctx context.Context, l *wire.Link) ([]string, error) {
	got, err := l.Query(ctx, "SELECT variable_name AS name, variable_value AS value FROM performance_schema.persisted_variables")
	if err != nil {
		return nil, err
	}
	var options []string
	for _, row := range got {
		options = append(options, "--"+row["name"]+"="+row["value"])
	}
	return options, nil
}
