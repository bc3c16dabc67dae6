package db

// Load is how much a server is used.
type Load struct {
	Connections    int // in use, all of them
	MaxConnections int
	// Failed counts connections that were refused, that failed or that broke,
	// since the server started.
	Failed uint64
	// Locked is how many sessions wait for a lock of a table's metadata, or of all
	// tables, and LongestLocked for how many seconds the first of them does.
	Locked        int
	LongestLocked int
}
