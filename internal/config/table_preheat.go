package config

import "time"

// Preheat is how replicas come to have in memory what the primary uses.
type Preheat struct {
	Every   time.Duration `key:"every"`
	Percent int           `key:"percent"`
}

func preheatKeys() []Key {
	return []Key{
		key("preheat.every", Duration).byDefault("0s").between("0s", "24h").same().reload().
			doc("A replica's server reads the pages that the primary's buffer pool holds this often, so that it has them in memory when it is promoted; at least 10s. 0s: never. Pages go by their numbers: it helps a replica whose data files came as a copy (mariadb-backup, clone) or that applies one transaction after the other; one that has filled its tables with several appliers at once keeps its rows in other pages. It costs reads from disk on the replica. The agent's account needs SUPER for it on MariaDB."),
		key("preheat.percent", Integer).byDefault("25").between("1", "100").of("percent").same().reload().
			doc("How much of the primary's buffer pool that is, those pages that were used last."),
	}
}

// shortestPreheat is more than a second: a server tells its loads apart by the
// second in which they ended.
const shortestPreheat = 10 * time.Second

func (l *loader) judgePreheat() {
	if p := l.cfg.Preheat; p.Every != 0 {
		l.atLeast("preheat.every", p.Every, shortestPreheat, "so often that a server would do nothing else")
	}
}
