package config

import "time"

// share returns the default that is a part, or a multiple, of the lease.
func share(times, parts time.Duration) func(*Config) string {
	return func(c *Config) string { return (c.Timing.Lease * times / parts).String() }
}

func timingKeys() []Key {
	return []Key{
		key("timing.lease", Duration).byProfile("750ms", "2s", "10s").between("100ms", "5m").same().
			doc("L: how long the primary may serve after a renewal was sent. A host that is gone is replaced after about L.",
				"Never change it node by node while the cluster runs: docs/configuration.md has a chapter on changing it."),
		key("timing.renew", Duration).follows("lease / 4", share(1, 4)).between("10ms", "5m").same().
			doc("The lease is renewed at least this often, and twice as often as long as the store answers; at most a third of it."),
		key("timing.call", Duration).follows("lease / 8", share(1, 8)).between("5ms", "5m").same().
			doc("Deadline of one call to the store; at most a quarter of the lease. A call that hangs does not delay the next renewal."),
		key("timing.drift", Ratio).byDefault("0.01").between("0", "0.2").same().
			doc("By how much the clocks of two hosts may differ in speed: 0.01 is 36 seconds an hour. Others wait for lease × (1 + drift) + margin."),
		key("timing.margin", Duration).byProfile("20ms", "50ms", "200ms").between("0s", "1m").same().
			doc("The gate closes so much before the lease ends, and others wait so much longer."),
		key("timing.beat", Duration).byProfile("1s", "1s", "5s").between("100ms", "1m").same().
			doc("What nodes know of themselves and of others is rewritten at least this often; changes are written at once."),
		key("timing.hang", Duration).byProfile("1s", "3s", "10s").between("200ms", "10m").same().reload().
			doc("A server that has answered nothing for so long is hung. Waiting for an acknowledgement is no hang."),
		key("timing.drain", Duration).byProfile("5s", "10s", "30s").between("0s", "1h").same().reload().
			doc("A planned switch waits so long for open transactions to end. Those still open then get an error when they commit."),
		key("timing.handoff", Duration).follows("2 × drain, but at least 2 × lease", func(c *Config) string {
			return max(2*c.Timing.Drain, 2*c.Timing.Lease).String()
		}).between("100ms", "2h").same().reload().
			doc("A planned switch that has not handed over by then is called off, and the old primary goes on with nothing lost."),
		key("timing.promote_stall", Duration).byProfile("5s", "10s", "30s").between("100ms", "1h").same().reload().
			doc("A candidate whose promotion gets nowhere for so long is fenced and passed over. One that applies transactions gets somewhere."),
		key("timing.ack_leave", Duration).follows("2 × lease", share(2, 1)).between("100ms", "1h").same().reload().
			doc("A replica that acknowledges and has been silent for so long is taken out of the ack set. Commits may wait that long."),
		key("timing.promise_wait", Duration).follows("lease / 2", share(1, 2)).between("0s", "10m").same().reload().
			doc("async: how long an election waits for more promises than the first. In lossless mode the ack set says which are needed."),
	}
}

func detectionKeys() []Key {
	return []Key{
		key("detection.normal", Duration).byProfile("250ms", "1s", "2s").between("20ms", "1m").reload().
			doc("Time between two probes of a server while all is well. At most a quarter of hang, if a frozen server is to be found within hang."),
		key("detection.suspect", Duration).byProfile("100ms", "250ms", "1s").between("10ms", "1m").reload().
			doc("The same after one failure."),
		key("detection.critical", Duration).byProfile("50ms", "100ms", "500ms").between("10ms", "1m").reload().
			doc("The same after the second, while it is down and while it recovers."),
		key("detection.failures", Integer).byDefault("3").between("2", "100").of("probes").reload().
			doc("So many failures in a row make a host or port down; of a server only refusals count, and silence is judged by hang."),
		key("detection.recover", Integer).byDefault("2").between("1", "100").of("answers").reload().
			doc("So many answers in a row make a layer up that was down."),
		key("detection.timeout.host", Duration).byProfile("200ms", "500ms", "2s").between("10ms", "1m").reload().
			doc("Layer 1: deadline of an ICMP echo."),
		key("detection.timeout.port", Duration).byProfile("200ms", "500ms", "2s").between("10ms", "1m").reload().
			doc("Layer 1: deadline of a TCP connect."),
		key("detection.timeout.server", Duration).follows("timing.hang", func(c *Config) string { return c.Timing.Hang.String() }).between("10ms", "10m").reload().
			doc("Layer 2: deadline of SELECT 1 over a held connection."),
		key("detection.timeout.business", Duration).follows("timing.hang", func(c *Config) string { return c.Timing.Hang.String() }).between("10ms", "10m").reload().
			doc("Layer 3: deadline of the write probe and of your own statements."),
		key("detection.track", Block).
			doc("Networks of the clients that the store and replication do not use. A primary that loses one hands over."),
		key("detection.track[].interface", Text).required("name the interface that is tracked").like("eth1").
			doc("The interface whose carrier is watched."),
		key("detection.track[].gateway", IP).like("10.0.0.1").
			doc("A gateway behind it that must answer. Empty: the carrier alone."),
	}
}
