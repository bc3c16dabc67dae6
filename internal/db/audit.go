package db

import (
	"context"
	"errors"
)

// Auditing is what has to be known of a server to say what its transactions did.
// Nothing is changed.
type Auditing interface {
	// BinaryLogs returns the paths of the server's binary logs, oldest first.
	BinaryLogs(ctx context.Context) ([]string, error)
	// DescribeTable returns a table as it is now. One that is not there has no
	// columns.
	DescribeTable(ctx context.Context, database, table string) (Table, error)
	// AskRows calls f with a way to ask for rows, all as they are at one moment.
	AskRows(ctx context.Context, f func(Ask) error) error
}

// Table is a table as the server has it.
type Table struct {
	Columns []Column // in their order
	Engine  string
}

// Column is one column of a table.
type Column struct {
	Name      string
	Type      string // information_schema's data_type: int, varchar, uuid …
	Charset   string // of a text; empty: it has none
	Unsigned  bool
	Generated bool // its value is computed, and cannot be given
	Key       bool // part of the primary key
}

// Undoing takes back transactions that only this server has. A Session of
// MariaDB can; MySQL has nothing of the kind.
type Undoing interface {
	// Undo carries out row events, which events hands over one BINLOG statement
	// at a time, in one transaction that leaves no trace in the binary log. It
	// commits only if check, which may ask for rows meanwhile, returns no error.
	Undo(ctx context.Context, events func(do func(statement string) error) error, check func(Ask) error) error
	// Ask returns the rows that a query yields.
	Ask(ctx context.Context, query string) ([]map[string]string, error)
	// LoggedState is what the server has in its binary logs: gtid_binlog_state.
	LoggedState(ctx context.Context) (string, error)
	// ToDisk returns once everything that is committed would survive a power loss.
	ToDisk(ctx context.Context) error
	// Reseed removes all binary logs of the server, and has it go on as one that
	// has logged state, and has applied that and what it had applied before. It
	// must follow nobody.
	Reseed(ctx context.Context, state string) error
}

// Ask runs a query and returns its rows.
type Ask func(query string) ([]map[string]string, error)

// Cloning fetches a copy of another server's data. MySQL can.
type Cloning interface {
	// CloneFrom has the server copy all data of source into dir, which is not
	// there and whose parent directory it may write to. Its own data stays as it
	// is. ctx needs no end: how long it takes depends on the data. rate is how many
	// bytes a second it may take; 0: no limit.
	CloneFrom(ctx context.Context, source Source, dir string, rate int64) error
	// ServesClones says why the server cannot take part in that: an error wrapping
	// ErrNoClone if what it takes is not loaded.
	ServesClones(ctx context.Context) error
}

// ErrNoClone says that a server lacks what fetches and serves copies.
var ErrNoClone = errors.New("the server has no clone plugin")
