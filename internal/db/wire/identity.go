package wire

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
	var persisted []string
	err := s.Look.Use(ctx, func(l *Link) (err error) {
		if id, err = s.identify(ctx, l); err == nil && s.dialect.Persisted != nil {
			persisted, err = s.dialect.Persisted(ctx, l)
		}
		return err
	})
	if err != nil {
		return db.Identity{}, fmt.Errorf("identify the server at %s: %w", s.Socket, err)
	}
	id.Restart = restart(ctx, id.PID, persisted, s.dialect.ReadOnlyOption)
	return id, nil
}

func (s *Server) identify(ctx context.Context, l *Link) (db.Identity, error) {
	if err := s.dialect.speaksWith(ctx, l); err != nil {
		return db.Identity{}, err
	}
	id, err := s.dialect.Identify(ctx, l)
	if err != nil {
		return db.Identity{}, err
	}
	if l.PID > 1 { // otherwise systemd listened on the socket for the server
		id.PID = l.PID
	}
	id.Start = startIdentity(id.PID)
	return id, nil
}

// speaksWith refuses a server of another flavor, whose answers would not mean
// what they seem to.
func (d Dialect) speaksWith(ctx context.Context, l *Link) error {
	version, err := l.Value(ctx, "SELECT VERSION()")
	if err != nil {
		return err
	}
	if is := flavorOf(version); is != d.Flavor {
		return fmt.Errorf("it is %s %s, and Baton was told flavor %s: correct server.flavor", is, version, d.Flavor)
	}
	return nil
}

// flavorOf tells the flavor of a server by what it says of its version.
func flavorOf(version string) string {
	if strings.Contains(version, "MariaDB") {
		return "mariadb"
	}
	return "mysql"
}

// IdentityOf returns who is at the other end of a connection: what is fixed for
// one life of the server is fixed for one connection to it.
func (s *Server) IdentityOf(ctx context.Context, l *Link) (db.Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.identity.Start != "" && s.link == l {
		return s.identity, nil
	}
	id, err := s.identify(ctx, l)
	if err != nil {
		return db.Identity{}, err
	}
	s.identity, s.link = id, l
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

// PIDFrom reads a process number from a server's pid file; 0 if there is none.
func PIDFrom(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	return int(Number(strings.TrimSpace(string(b))))
}

// LosesOnPower names settings under which a power loss loses transactions.
func LosesOnPower(syncBinlog, flushLog string) (loses []string) {
	if syncBinlog != "1" {
		loses = append(loses, "sync_binlog="+syncBinlog)
	}
	// MariaDB's 3 is 1 with one more flush, between prepare and commit.
	if flushLog != "1" && flushLog != "3" {
		loses = append(loses, "innodb_flush_log_at_trx_commit="+flushLog)
	}
	return loses
}

// Number reads what the server writes where it means a number; 0 otherwise.
func Number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// IsOn reads what the server writes where it means yes or no.
func IsOn(text string) bool { return text == "1" || strings.EqualFold(text, "ON") }
