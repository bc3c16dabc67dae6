package load

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"os"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sys/unix"
)

// A Class is how an attempt ended, in the words of someone who reads an
// application's log.
type Class string

// The classes.
const (
	OK          Class = ""
	Refused     Class = "refused"     // reset in answer to the first packet
	Reset       Class = "reset"       // reset later
	Closed      Class = "closed"      // ended by the server in good order, or without a word
	Timeout     Class = "timeout"     //
	Unreachable Class = "unreachable" // no route, no neighbour
	ReadOnly    Class = "read-only"   // the server takes no writes
	Server      Class = "server"      // any other error that the server named
	Other       Class = "other"       //
)

// errReadOnly is ER_OPTION_PREVENTS_STATEMENT of MariaDB and MySQL.
const errReadOnly = 1290

func classify(err error) Class {
	var server *mysql.MySQLError
	var network net.Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &server) && server.Number == errReadOnly:
		return ReadOnly
	case errors.As(err, &server):
		return Server
	case errors.Is(err, unix.ECONNREFUSED):
		return Refused
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return Reset
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return Unreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT),
		errors.As(err, &network) && network.Timeout():
		return Timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, driver.ErrBadConn):
		return Closed
	}
	return Other
}
