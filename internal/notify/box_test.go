package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// mailbox is a receiver that can be spoilt.
type mailbox struct {
	mu    sync.Mutex
	got   []string
	tries int
	err   error
	hangs bool
}

func (m *mailbox) Send(ctx context.Context, n Notice) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	if m.hangs {
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		return ctx.Err()
	}
	if m.err != nil {
		return m.err
	}
	m.got = append(m.got, n.ID)
	return nil
}

func (m *mailbox) change(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
}

func notice(id string, s Severity) Notice { return Notice{ID: id, Severity: s, Kind: Raised} }

// running starts a box in a bubble of virtual time.
func running(t *testing.T, log *bytes.Buffer, receivers ...Receiver) *Box {
	b := NewBox(slog.New(slog.NewTextHandler(log, nil)), receivers...)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return b
}

func TestOneThatHangsOrRefusesHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		well, hung, refuses := &mailbox{}, &mailbox{hangs: true}, &mailbox{err: errors.New("no")}
		var log bytes.Buffer
		b := running(t, &log, Receiver{Name: "hung", Sender: hung}, Receiver{Name: "refuses", Sender: refuses}, Receiver{Name: "well", Sender: well})
		for i := range 3 {
			b.Put(notice(fmt.Sprint(i), Note))
		}
		synctest.Wait() // no time passes
		if fmt.Sprint(well.got) != "[0 1 2]" {
			t.Errorf("told: %v", well.got)
		}
		time.Sleep(time.Second + 2*time.Second + 4*time.Second + time.Millisecond)
		synctest.Wait()
		if refuses.tries != 4 {
			t.Errorf("%d tries", refuses.tries)
		}
		refuses.change(func() { refuses.err = nil })
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if fmt.Sprint(refuses.got) != "[0 1 2]" {
			t.Errorf("told, once it takes them: %v", refuses.got)
		}
		hung.change(func() { hung.hangs = false })
		time.Sleep(time.Minute)
		synctest.Wait()
		if fmt.Sprint(hung.got) != "[0 1 2]" {
			t.Errorf("told, once it answers: %v", hung.got)
		}
	})
}

func TestWhatWaitsIsBoundedAndGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := &mailbox{err: errors.New("no")}
		var log bytes.Buffer
		b := running(t, &log, Receiver{Name: "gone", Sender: gone})
		for i := range 500 {
			b.Put(notice(fmt.Sprint(i), Note))
		}
		synctest.Wait()
		b.lanes[0].mu.Lock()
		n := len(b.lanes[0].queue)
		b.lanes[0].mu.Unlock()
		if n > waiting {
			t.Errorf("%d wait", n)
		}
		time.Sleep(tooLate + 2*time.Minute)
		gone.change(func() { gone.err = nil })
		b.Put(notice("news", Note))
		time.Sleep(longest)
		synctest.Wait()
		if fmt.Sprint(gone.got) != "[news]" {
			t.Errorf("told in the end: %v", gone.got)
		}
		for _, want := range []string{"too much waits for a receiver", "it is given up"} {
			if !bytes.Contains(log.Bytes(), []byte(want)) {
				t.Errorf("the log does not say %q", want)
			}
		}
	})
}

func TestWhatIsLessGraveIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grave := &mailbox{}
		var log bytes.Buffer
		b := running(t, &log, Receiver{Name: "grave", Sender: grave, Least: Warning})
		b.Put(notice("a", Note))
		b.Put(notice("b", Warning))
		b.Put(notice("c", Critical))
		synctest.Wait()
		if fmt.Sprint(grave.got) != "[b c]" {
			t.Errorf("told: %v", grave.got)
		}
	})
}
