package mariadb

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/db"
)

// Identify implements db.Looker.
func (s *Server) Identify(ctx context.Context) (db.Identity, error) {
	var id db.Identity
	err := s.look.use(ctx, func(l *link) (err error) {
		id, err = identify(ctx, l)
		return err
	})
	if err != nil {
		return db.Identity{}, fmt.Errorf("identify the server at %s: %w", s.config.Socket, err)
	}
	id.Restart = restart(ctx, id.PID)
	return id, nil
}

func identify(ctx context.Context, l *link) (db.Identity, error) {
	got, err := l.query(ctx, `SELECT @@version, @@global.server_id, @@global.log_bin, @@global.log_slave_updates,
		@@global.binlog_format, @@global.gtid_strict_mode, @@global.event_scheduler, @@datadir, @@port, @@extra_port, @@pid_file,
		@@global.sync_binlog, @@global.innodb_flush_log_at_trx_commit`)
	if err != nil {
		return db.Identity{}, err
	}
	v := got[0]
	id := db.Identity{
		Flavor:        "mariadb",
		Version:       v["@@version"],
		ID:            uint32(number(v["@@global.server_id"])),
		BinLog:        isOn(v["@@global.log_bin"]),
		LogUpdates:    isOn(v["@@global.log_slave_updates"]),
		RowFormat:     v["@@global.binlog_format"],
		StrictGTID:    isOn(v["@@global.gtid_strict_mode"]),
		SemiSync:      true, // built in since 10.3.3
		EventsEnabled: isOn(v["@@global.event_scheduler"]),
		DataDir:       v["@@datadir"],
		Port:          int(number(v["@@port"])),
		ExtraPort:     int(number(v["@@extra_port"])),
	}
	if n := v["@@global.sync_binlog"]; n != "1" {
		id.LosesOnPower = append(id.LosesOnPower, "sync_binlog="+n)
	}
	// 3 is 1 with one more flush, between prepare and commit.
	if n := v["@@global.innodb_flush_log_at_trx_commit"]; n != "1" && n != "3" {
		id.LosesOnPower = append(id.LosesOnPower, "innodb_flush_log_at_trx_commit="+n)
	}
	id.PID = l.pid
	if id.PID <= 1 { // systemd listened on the socket for the server
		id.PID = pidFrom(v["@@pid_file"])
	}
	id.Start = startIdentity(id.PID)
	return id, nil
}

// startIdentity differs after every restart of a process and of the host.
func startIdentity(pid int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// proc(5): the second field is the name in parentheses, which may hold
	// spaces; starttime is field 22, in clock ticks since boot.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(rest)
	const starttime = 22 - 3
	if len(fields) <= starttime {
		return ""
	}
	return fmt.Sprintf("%.8s-%d-%s", boot, pid, fields[starttime])
}

func pidFrom(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	return int(number(strings.TrimSpace(string(b))))
}

// number reads what the server writes where it means a number; 0 otherwise.
func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

func isOn(text string) bool { return text == "1" || strings.EqualFold(text, "ON") }
