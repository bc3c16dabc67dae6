package mariadb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/baton-db/baton/internal/db"
)

// Error numbers of MariaDB (its Knowledge Base, "MariaDB Error Codes").
const (
	erDiskFull          = 1021
	erErrorOnWrite      = 1026
	erTooManyConns      = 1040
	erDBAccessDenied    = 1044
	erAccessDenied      = 1045
	erUnknownDatabase   = 1049
	erServerShutdown    = 1053
	erUnknownThread     = 1094
	erTableFull         = 1114
	erTableDenied       = 1142
	erNoSuchTable       = 1146
	erNoSuchSlaveLog    = 1220
	erTooManyUserConns  = 1203
	erLockWaitTimeout   = 1205
	erUserLimitReached  = 1226
	erPrivilegeNeeded   = 1227
	erReadOnly          = 1290
	erQueryInterrupted  = 1317
	erReadOnlyTx        = 1792
	erReadOnlyMode      = 1836
	erConnectionKilled  = 1927
	erStatementTimedOut = 1969
)

// code returns the server's error number; 0 if the server did not send err.
func code(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// breaks reports whether a connection is of no use after err: the server did
// not send it, or said goodbye with it.
func breaks(err error) bool {
	if err == nil {
		return false
	}
	switch code(err) {
	case 0, erServerShutdown, erConnectionKilled:
		return true
	}
	return false
}

// verdict says in Baton's words what an error means.
func verdict(err error) db.Verdict {
	switch code(err) {
	case erTooManyConns, erTooManyUserConns, erUserLimitReached:
		return db.TooManyConnections
	case erLockWaitTimeout:
		return db.LockWait
	case erReadOnly, erReadOnlyMode, erReadOnlyTx:
		return db.ReadOnly
	case erNoSuchTable, erUnknownDatabase:
		return db.NoSchema
	case erDiskFull, erTableFull:
		return db.DiskFull
	case erDBAccessDenied, erAccessDenied, erTableDenied, erPrivilegeNeeded:
		return db.Denied
	case erConnectionKilled, erQueryInterrupted:
		return db.Killed
	case erServerShutdown:
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

// inOurWords wraps the errors that callers of package db act on.
func inOurWords(err error) error {
	switch verdict(err) {
	case db.LockWait:
		return fmt.Errorf("%w: %w", db.ErrLockWait, err)
	case db.ReadOnly:
		return fmt.Errorf("%w: %w", db.ErrReadOnly, err)
	}
	return err
}
