package haproxy

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The runtime API, as HAProxy's management guide has it (section 9.3): a line of
// commands, separated by semicolons; the answers follow, each with an empty line behind
// it, and the connection ends.

// maxAnswer bounds what is read: a backend has a line of a hundred bytes per server.
const maxAnswer = 1 << 20

// ask sends one line and returns what came back.
func ask(ctx context.Context, socket, line string) (string, error) {
	network := "tcp"
	if strings.HasPrefix(socket, "/") {
		network = "unix"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, socket)
	if err != nil {
		if op := (*net.OpError)(nil); errors.As(err, &op) {
			err = op.Err // where it is stands around it
		}
		return "", fmt.Errorf("connect to its runtime API: %w", ended(ctx, err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", fmt.Errorf("ask %q: %w", line, ended(ctx, err))
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("ask %q: %w", line, ended(ctx, err))
	}
	if denied := strings.TrimSpace(string(answer)); strings.HasPrefix(denied, "Permission denied") {
		return "", fmt.Errorf("ask %q: permission denied: its `stats socket` needs `level admin`", line)
	}
	return string(answer), nil
}

// ended returns the context's own error where that is why a call failed. A deadline
// of the connection's may be noticed a moment before that of the context.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	}
	return err
}

// server is one of a backend, as HAProxy has it now.
type server struct {
	name  string
	at    netip.AddrPort
	admin uint64 // srv_admin_state
	down  bool   // it takes nobody although it may
	finds finding
}

// finding is what HAProxy's own checks say of a server, in its words; empty: not told.
type finding struct {
	status string // such as UP, or UP 1/3 while the last checks do not agree
	check  string // the last one, and its code
	said   string // what came of it
	busy   bool   // the next one is under way, and HAProxy does not say that meanwhile
}

// or is a finding with what was said before of the same.
func (f finding) or(before finding) finding {
	if f.busy && f.said == "" && f.status == before.status && f.check == before.check {
		f.said = before.said
	}
	return f
}

// String is all of it.
func (f finding) String() string {
	switch {
	case f.status == "" || f.check == "":
		return f.status
	case f.said == "":
		return fmt.Sprintf("%s (%s)", f.status, f.check)
	}
	return fmt.Sprintf("%s (%s, %s)", f.status, f.check, f.said)
}

// steady is what people are told at every look: of a server that is up neither what the
// check read, nor anything while single checks come out otherwise, for that changes all
// the time and nobody is led elsewhere by it.
func (f finding) steady() string {
	if up, failing := strings.CutPrefix(f.status, "UP "); failing && strings.Contains(up, "/") {
		return ""
	}
	if f.status == "UP" {
		f.said = ""
	}
	return f.String()
}

// The bits of srv_admin_state (management guide, "show servers state").
const (
	maintenance = 0x01 | 0x02 | 0x20 // forced, inherited, or without an address; 0x04 only remembers the configuration
	unresolved  = 0x40
	draining    = 0x08 | 0x10
)

// ready reports whether HAProxy may send clients there.
func (s server) ready() bool { return s.admin&(maintenance|unresolved|draining) == 0 }

// inMaintenance reports whether nobody is sent there, and no session is kept.
func (s server) inMaintenance() bool { return s.admin&maintenance != 0 }

// Columns of "show servers state", format 1.
const (
	srvName       = "srv_name"
	srvAddress    = "srv_addr"
	srvPort       = "srv_port"
	srvOpState    = "srv_op_state"
	srvAdminState = "srv_admin_state"
)

// Columns of "show stat", by their names in its first line, and servers among what it
// shows.
const (
	statServer = "svname"
	statStatus = "status"
	statCheck  = "check_status"
	statCode   = "check_code"
	statSaid   = "last_chk"
	onlyServer = "4"
)

// states reads the servers of a backend and, if it is asked for, what HAProxy's own checks
// say of them, which takes it twice as long.
func states(ctx context.Context, socket, backend string, checks bool) (map[string]server, error) {
	line := "show servers state " + backend
	all := line
	if checks {
		all += "; show stat " + backend + " " + onlyServer + " -1"
	}
	answer, err := ask(ctx, socket, all)
	if err != nil {
		return nil, err
	}
	state, stat, _ := strings.Cut(answer, "\n\n")
	servers, err := parse(state)
	if err != nil {
		return nil, fmt.Errorf("ask %q: %w", line, err)
	}
	addFindings(servers, stat)
	return servers, nil
}

// addFindings adds to servers what the statistics say of them. Without those nothing is
// said, and nothing rests on it.
func addFindings(servers map[string]server, stat string) {
	lines := csv.NewReader(strings.NewReader(strings.TrimPrefix(stat, "# ")))
	lines.FieldsPerRecord, lines.LazyQuotes = -1, true
	all, err := lines.ReadAll()
	if err != nil || len(all) < 2 {
		return
	}
	for _, values := range all[1:] {
		field := func(name string) string {
			if i := slices.Index(all[0], name); i >= 0 && i < len(values) {
				return values[i]
			}
			return ""
		}
		s, ok := servers[field(statServer)]
		if !ok {
			continue
		}
		s.finds.status = field(statStatus)
		s.finds.check, s.finds.busy = strings.CutPrefix(field(statCheck), "* ")
		if code := field(statCode); s.finds.check != "" && code != "" {
			s.finds.check += "/" + code
		}
		if said := field(statSaid); said != "" {
			s.finds.said = shortened(said)
		}
		servers[s.name] = s
	}
}

func parse(answer string) (map[string]server, error) {
	lines := strings.Split(strings.TrimSpace(answer), "\n")
	if len(lines) < 2 || lines[0] != "1" || !strings.HasPrefix(lines[1], "# ") {
		return nil, fmt.Errorf("it answers %q", shortened(answer))
	}
	columns := strings.Fields(lines[1])[1:]
	servers := map[string]server{}
	for _, l := range lines[2:] {
		values := strings.Fields(l)
		field := func(name string) string {
			if i := slices.Index(columns, name); i >= 0 && i < len(values) {
				return values[i]
			}
			return ""
		}
		admin, err := strconv.ParseUint(field(srvAdminState), 10, 64)
		if err != nil || field(srvName) == "" {
			return nil, fmt.Errorf("it answers %q", shortened(l))
		}
		s := server{name: field(srvName), admin: admin, down: field(srvOpState) == "0"}
		if address, err := netip.ParseAddr(field(srvAddress)); err == nil {
			port, _ := strconv.ParseUint(field(srvPort), 10, 16) // 0 is no node's port
			s.at = netip.AddrPortFrom(address, uint16(port))
		}
		servers[s.name] = s
	}
	return servers, nil
}

// perform sends commands in one line, so that HAProxy carries them out one right
// after the other, and returns what it complains of.
func perform(ctx context.Context, socket string, commands []string) error {
	line := strings.Join(commands, "; ")
	answer, err := ask(ctx, socket, line)
	if err != nil {
		return err
	}
	for said := range strings.Lines(answer) {
		said = strings.TrimSpace(said)
		if said != "" && !strings.HasPrefix(said, "IP changed from") && !strings.HasPrefix(said, "port changed from") && !strings.HasPrefix(said, "no need to change") {
			return fmt.Errorf("ask %q: it answers %q", line, shortened(said))
		}
	}
	return nil
}

func shortened(s string) string {
	s = strings.TrimSpace(s)
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
