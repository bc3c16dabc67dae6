package config

import "time"

// Connections is what is known of the clients' connections, and for what.
type Connections struct {
	Limit  int           `key:"limit"`
	Every  time.Duration `key:"every"`
	Tickle bool          `key:"tickle"`
}

func connectionKeys() []Key {
	return []Key{
		key("connections.limit", Integer).byDefault("50000").between("0", "1000000").of("connections").
			doc("How many clients' connections with the virtual addresses are kept in mind, on the primary and, told by its agent, on the other data nodes. Beyond that the newest are left out, and `ledger-full` says so. Each takes 150 to 220 bytes. 0: none are."),
		key("connections.every", Duration).byDefault("1s").between("100ms", "10s").reload().
			doc("How often the primary looks which there are. With very many connections it looks less often, so that it takes less than 1 % of a processor."),
		key("connections.tickle", YesNo).byDefault("true").reload().
			doc("When this node takes over from a host that died, it has every idle client of that host get a reset now, instead of at its next statement or never. See docs/connections.md."),
	}
}
