package candidate

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// release is the series of a server, such as 10.11 or 8.4. Servers of one
// series replicate from each other both ways. A replica may be of a newer
// series than its source, but not of an older one: it could meet events that
// it does not know (MySQL 8.4 manual, 19.5.2 "Replication Compatibility Between
// MySQL Versions"; MariaDB documentation, "Replication Compatibility").
type release struct{ major, minor int }

// parseRelease reads the series from version(), as in
// "10.11.6-MariaDB-0+deb12u1-log" or "8.4.2". The prefix "5.5.5-", which
// MariaDB puts before its own version in the handshake, is skipped. The zero
// release means that it could not be read.
func parseRelease(version string) release {
	version = strings.TrimPrefix(version, "5.5.5-")
	major, rest, _ := strings.Cut(version, ".")
	end := strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' })
	if end < 0 {
		end = len(rest)
	}
	a, err := strconv.Atoi(major)
	if err != nil {
		return release{}
	}
	b, err := strconv.Atoi(rest[:end])
	if err != nil {
		return release{}
	}
	return release{a, b}
}

// newerThan compares series. What could not be read is newer than nothing:
// replication itself will tell.
func (r release) newerThan(o release) bool {
	if r == (release{}) || o == (release{}) {
		return false
	}
	return cmp.Or(cmp.Compare(r.major, o.major), cmp.Compare(r.minor, o.minor)) > 0
}

func (r release) String() string { return fmt.Sprintf("%d.%d", r.major, r.minor) }

// tooNew says which node could not replicate from r, empty if all could.
func (f *field) tooNew(r *runner) string {
	for _, o := range f.runners {
		follows := o.up() && (f.election.Planned || o.Promise != nil)
		if o != r && follows && r.release.newerThan(o.release) {
			return fmt.Sprintf("%s of series %s could not replicate from series %s", o.Node.Name, o.release, r.release)
		}
	}
	return ""
}
