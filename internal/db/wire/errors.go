package wire

import (
	"context"
	"errors"
	"fmt"
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
	// "No space left on device", as the C library and the server word it.
	if text := err.Error(); strings.Contains(text, "No space left") || strings.Contains(text, "Errcode: 28 ") {
		return db.DiskFull
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
