package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/baton-db/baton/internal/db"
)

// Error numbers of MariaDB (its Knowledge Base, "MariaDB Error Codes") and MySQL
// (MySQL 9.x Error Message Reference). Those from 3000 on are only MySQL's, 1927
// and 1969 only MariaDB's.
const (
	ErDiskFull          = 1021
	ErErrorOnWrite      = 1026
	ErTooManyConns      = 1040
	ErDBAccessDenied    = 1044
	ErAccessDenied      = 1045
	ErUnknownDatabase   = 1049
	ErServerShutdown    = 1053
	ErUnknownThread     = 1094
	ErTableFull         = 1114
	ErUnknownVariable   = 1193
	ErTableDenied       = 1142
	ErNoSuchTable       = 1146
	ErNoSuchSlaveLog    = 1220
	ErTooManyUserConns  = 1203
	ErLockWaitTimeout   = 1205
	ErUserLimitReached  = 1226
	ErPrivilegeNeeded   = 1227
	ErReadOnly          = 1290
	ErQueryInterrupted  = 1317
	ErReadOnlyTx        = 1792
	ErWorkersWereKilled = 1802 // ER_MTA_CHANGE_SOURCE_CANT_RUN_WITH_GAPS
	ErReadOnlyMode      = 1836
	ErConnectionKilled  = 1927
	ErStatementTimedOut = 1969
	ErSessionWasKilled  = 3169
	ErIdleTooLong       = 4031
)

// Code returns the server's error number; 0 if the server did not send err.
func Code(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// Breaks reports whether a connection is of no use after err: the server did
// not send it, or said goodbye with it.
func Breaks(err error) bool {
	if err == nil {
		return false
	}
	switch Code(err) {
	case 0, ErServerShutdown, ErConnectionKilled, ErSessionWasKilled, ErIdleTooLong:
		return true
	}
	return false
}

// Verdict says in Baton's words what an error means.
func Verdict(err error) db.Verdict {
	switch Code(err) {
	case ErTooManyConns, ErTooManyUserConns, ErUserLimitReached:
		return db.TooManyConnections
	case ErLockWaitTimeout:
		return db.LockWait
	case ErReadOnly, ErReadOnlyMode, ErReadOnlyTx:
		return db.ReadOnly
	case ErNoSuchTable, ErUnknownDatabase:
		return db.NoSchema
	case ErDiskFull, ErTableFull:
		return db.DiskFull
	case ErDBAccessDenied, ErAccessDenied, ErTableDenied, ErPrivilegeNeeded:
		return db.Denied
	case ErConnectionKilled, ErSessionWasKilled, ErQueryInterrupted:
		return db.Killed
	case ErServerShutdown, ErIdleTooLong:
		return db.Lost
	case 0:
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return db.NoAnswer
		}
		return db.Lost
	}
	// As the C library and the servers word ENOSPC, EROFS and EIO, whichever
	// statement met them.
	text := err.Error()
	has := func(signs ...string) bool {
		return slices.ContainsFunc(signs, func(s string) bool { return strings.Contains(text, s) })
	}
	switch {
	case has("No space left", "Errcode: 28 ", "OS errno 28 ", "Got error 28 "):
		return db.DiskFull
	case has("Read-only file system", "Errcode: 30 ", "OS errno 30 ", "Errcode: 5 ", "OS errno 5 ", "Input/output error"):
		return db.DiskReadOnly
	}
	return db.Failed
}

// InOurWords wraps the errors that callers of package db act on.
func InOurWords(err error) error {
	switch Verdict(err) {
	case db.LockWait:
		return fmt.Errorf("%w: %w", db.ErrLockWait, err)
	case db.ReadOnly:
		return fmt.Errorf("%w: %w", db.ErrReadOnly, err)
	}
	return err
}
