package mariadb

import (
	"context"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

func identify(ctx context.Context, l *wire.Link) (db.Identity, error) {
	got, err := l.Query(ctx, `SELECT @@version, @@global.server_id, @@global.log_bin, @@global.log_slave_updates,
		@@global.binlog_format, @@global.gtid_strict_mode, @@global.event_scheduler, @@datadir, @@port, @@extra_port, @@pid_file,
		@@global.sync_binlog, @@global.innodb_flush_log_at_trx_commit`)
	if err != nil {
		return db.Identity{}, err
	}
	v := got[0]
	id := db.Identity{
		Flavor:        "mariadb",
		Version:       v["@@version"],
		ID:            uint32(wire.Number(v["@@global.server_id"])),
		BinLog:        wire.IsOn(v["@@global.log_bin"]),
		LogUpdates:    wire.IsOn(v["@@global.log_slave_updates"]),
		RowFormat:     v["@@global.binlog_format"],
		StrictGTID:    wire.IsOn(v["@@global.gtid_strict_mode"]),
		SemiSync:      true, // built in since 10.3.3
		EventsEnabled: wire.IsOn(v["@@global.event_scheduler"]),
		DataDir:       v["@@datadir"],
		Port:          int(wire.Number(v["@@port"])),
		ExtraPort:     int(wire.Number(v["@@extra_port"])),
		LosesOnPower:  wire.LosesOnPower(v["@@global.sync_binlog"], v["@@global.innodb_flush_log_at_trx_commit"]),
		PID:           wire.PIDFrom(v["@@pid_file"]),
	}
	return id, nil
}
