package fence

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

func TestOnlyConnectionsWithThePeerThatStandStillAreReset(t *testing.T) {
	l := newLab(t)
	srv := serve(l.host)
	stuck, idle := l.peer.dial(own4, dbPort), l.peer.dial(own4, dbPort)
	otherPort, otherHost := l.peer.dial(own4, adminPort), l.client.dial(virtual4, dbPort)
	_, err := io.WriteString(stuck, "hold\n")
	must(t, err)
	held := <-srv.accepted
	reset := func(silent time.Duration) (n int) {
		l.host.do(func() (err error) { n, err = ResetSilent(t.Context(), peer4, []uint16{dbPort}, silent); return err })
		return n
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	until := func(silent time.Duration) (n int) {
		for n == 0 && t.Context().Err() == nil {
			<-look.C
			n = reset(silent)
		}
		return n
	}

	if n := reset(0); n != 0 {
		t.Fatalf("%d connections were reset although nothing was lost", n)
	}
	l.peer.sh("ip", "link", "set", "eth0", "down")
	_, err = io.WriteString(held, "lost\n")
	must(t, err)
	if n := until(0); n != 1 {
		t.Fatalf("%d connections were reset, want the one that repeats itself", n)
	}
	must(t, held.SetReadDeadline(time.Now().Add(patience)))
	if _, err := held.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection that was reset says %v", err)
	}
	l.peer.sh("ip", "link", "set", "eth0", "up")
	must(t, echo(idle))
	if n := until(time.Millisecond); n != 1 {
		t.Errorf("%d connections were reset, want the one that has heard nothing for a millisecond", n)
	}
	wantReset(t, idle)
	must(t, echo(otherPort))
	must(t, echo(otherHost))
}
