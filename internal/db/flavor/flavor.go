// Package flavor answers which driver speaks with a server of a flavor.
//
// It never guesses: a flavor that it does not know is an error. The one rule:
// whoever needs a driver gets it here, so that a new flavor is known to all of
// them at once.
package flavor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/mariadb"
	"github.com/baton-db/baton/internal/db/mysql"
)

// A Driver is what a flavor is spoken with.
type Driver struct {
	// Open prepares a server for use. It connects to nothing yet.
	Open func(db.Config) (db.Server, error)
	// Accounts returns the statements that make Baton's accounts, with no more
	// privileges than it needs.
	Accounts func(db.Accounts) []string
}

func drivers() map[string]Driver {
	return map[string]Driver{
		"mariadb": {func(c db.Config) (db.Server, error) { return mariadb.Open(c) }, mariadb.LeastPrivilegeSQL},
		"mysql":   {func(c db.Config) (db.Server, error) { return mysql.Open(c) }, mysql.LeastPrivilegeSQL},
	}
}

// Of returns the driver of a flavor.
func Of(flavor string) (Driver, error) {
	d, ok := drivers()[flavor]
	if !ok {
		return Driver{}, fmt.Errorf("no driver for servers of flavor %q; there are %s", flavor, strings.Join(slices.Sorted(maps.Keys(drivers())), " and "))
	}
	return d, nil
}
