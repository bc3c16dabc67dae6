package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// Error numbers of MySQL and MariaDB that have a class of their own.
const (
	erTooManyConnections     = 1040
	erTooManyUserConnections = 1203
	erUserLimitReached       = 1226
	erDatabaseDenied         = 1044
	erAccessDenied           = 1045
	erTableDenied            = 1142
	erColumnDenied           = 1143
	erPrivilegeNeeded        = 1227
	erServerShutdown         = 1053
	erHostBlocked            = 1129
	erHostNotAllowed         = 1130
)

// classify says what an error means. Its text names the cause and nothing that
// differs from one time to the next.
func classify(err error) (Class, string) {
	var fromServer *mysql.MySQLError
	switch {
	case err == nil:
		return Answered, ""
	case errors.As(err, &fromServer):
		return classifyServer(fromServer)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded):
		return NoAnswer, "no answer in time"
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		switch number {
		case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
			return Refused, number.Error()
		case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN:
			return Unreachable, number.Error()
		case syscall.ETIMEDOUT:
			return NoAnswer, number.Error()
		}
		return Unavailable, number.Error()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, mysql.ErrInvalidConn) {
		return Refused, "the server closed the connection"
	}
	return Unavailable, err.Error()
}

func classifyServer(e *mysql.MySQLError) (Class, string) {
	switch e.Number {
	case erTooManyConnections, erTooManyUserConnections, erUserLimitReached:
		return TooManyConnections, "no slot is left"
	case erDatabaseDenied, erAccessDenied, erTableDenied, erColumnDenied, erPrivilegeNeeded, erHostBlocked, erHostNotAllowed:
		return Denied, e.Error()
	case erServerShutdown:
		return Refused, "the server is shutting down"
	}
	return ServerError, fmt.Sprintf("error %d: %s", e.Number, e.Message)
}
