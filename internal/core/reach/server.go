package reach

import (
	"fmt"
	"time"
)

// longWait is above what a server should let a connection sleep that its client may
// have forgotten: it holds a slot and, in a transaction, locks.
const longWait = 28800

// ofServer says what the limits of a database server mean for a move.
func ofServer(h Host) (all []Note) {
	s := h.Server
	if s == nil {
		return nil
	}
	say := func(name string, v *int64, means, mend string) {
		if v != nil {
			all = append(all, Note{Node: h.Node, Setting: "@@" + name, Value: fmt.Sprint(*v), Means: means, Mend: mend})
		}
	}
	mend := ""
	if s.Wait != nil && *s.Wait > longWait {
		mend = "set it to what the longest pause of a pool is, 28800 at most"
	}
	say("wait_timeout", s.Wait, fmt.Sprintf("the server ends a connection that has been idle for %s: pools must use or check theirs before that, or meet the same error as in a switch", seconds(s.Wait)), mend)
	say("interactive_timeout", s.Interactive, fmt.Sprintf("the same for interactive clients: %s", seconds(s.Interactive)), "")
	say("net_read_timeout", s.NetRead, fmt.Sprintf("a client that goes silent in the middle of a statement holds its session, and a planned switch's drain, for %s", seconds(s.NetRead)), "")
	say("net_write_timeout", s.NetWrite, fmt.Sprintf("a client that takes no more of its result holds its session, and a planned switch's drain, for %s", seconds(s.NetWrite)), "")
	say("connect_timeout", s.Connect, fmt.Sprintf("a connect that goes no further holds a slot for %s", seconds(s.Connect)), "")
	mend = ""
	if s.BackLog != nil && h.Clients != nil && int64(h.Clients.Connections) > *s.BackLog {
		mend = fmt.Sprintf("set it to more than %d: that many clients come back at once after a switch, and each that finds no room waits a second", h.Clients.Connections)
	}
	say("back_log", s.BackLog, "so many clients may come back at the same moment after a switch before one of them has to wait a second", mend)
	if s.Keepalive != nil {
		means := "sockets of clients ask whether the client is there as the kernel says (net.ipv4.tcp_keepalive_time)"
		if *s.Keepalive > 0 {
			means = fmt.Sprintf("sockets of clients ask after %s of silence whether the client is there", seconds(s.Keepalive))
		}
		say("tcp_keepalive_time", s.Keepalive, means, "")
	}
	return all
}

func seconds(v *int64) string {
	if v == nil {
		return "a time that is not known"
	}
	return (time.Duration(*v) * time.Second).String()
}
