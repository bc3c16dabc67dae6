package backfill

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/binlog"
	"github.com/baton-db/baton/internal/core/gtid"
)

// Incoming is what Send writes, being read.
type Incoming struct {
	Tail   Tail
	events *bufio.Reader
}

// Receive reads what Send says before the events. The error is ErrDiverged, ErrPurged
// or ErrUnreadable as it was there.
func Receive(r io.Reader) (*Incoming, error) {
	in := &Incoming{events: bufio.NewReaderSize(r, 64<<10)}
	for {
		line, err := in.events.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("hear what the log holds: %w", err)
		}
		var t Told
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, fmt.Errorf("hear what the log holds: %w", err)
		}
		switch {
		case t.Why != "":
			return nil, t.err()
		case t.Found != nil:
			in.Tail = *t.Found
			return in, nil
		}
	}
}

// Source gives a tail to the server of this host, which replicates from it as from
// any source. It answers on the loopback address only, and only to who has the
// password, and gives the tail once.
type Source struct {
	User, Password string

	in       *Incoming
	flavor   string
	listener net.Listener
	log      *slog.Logger

	mu      sync.Mutex
	given   bool
	ahead   []sent // whole transactions that are not known to be applied
	applied int64  // bytes
	whole   gtid.Set
	grown   chan struct{}
}

// sent is a transaction that was given: until where.
type sent struct {
	id    gtid.Set
	until int64
}

// Window is how much a replica is given beyond what it has applied: so much has
// still to be applied once time is up, or one transaction.
const Window = 4 << 20

// The ports that a source listens on, one of them. Where SELinux says to which
// ports a database server may connect, these are among them.
const firstPort, lastPort = 63132, 63164

// NewSource listens.
func NewSource(in *Incoming, flavor string, log *slog.Logger) (*Source, error) {
	s := &Source{User: "baton-backfill", in: in, flavor: flavor, log: log, grown: make(chan struct{}, 1)}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	s.Password = hex.EncodeToString(b[:])
	var err error
	for port := firstPort; port <= lastPort; port++ {
		if s.listener, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("listen for the own server: %w", err)
}

// Addr is where it listens.
func (s *Source) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// Serve gives the tail to whoever asks for it first, and stays until ctx ends, as
// a replica whose source goes away would come again and again. An error says why
// not all of the tail could be given.
func (s *Source) Serve(ctx context.Context) error {
	broken := make(chan error, 1)
	var all sync.WaitGroup
	defer all.Wait() // last, when nothing keeps them any more
	defer s.listener.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all.Go(func() {
		for {
			c, err := s.listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				if err := s.serve(ctx, c); err != nil && ctx.Err() == nil {
					select {
					case broken <- err:
					default:
					}
				}
			})
		}
	})
	select {
	case <-ctx.Done():
		return nil
	case err := <-broken:
		return err
	}
}

// serve answers one connection. Only an error of the tail's is one.
func (s *Source) serve(ctx context.Context, nc net.Conn) error {
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	c := newConn(nc)
	nonce := make([]byte, 20)
	_, _ = rand.Read(nonce) // never fails
	for i := range nonce {
		nonce[i] = nonce[i]%94 + '!' // no zero, which would end it
	}
	plugin := nativePassword
	if s.flavor == MySQL {
		plugin = sha2Password
	}
	if err := c.greet(s.in.Tail.Version, plugin, s.User, s.Password, nonce); err != nil {
		s.log.Warn("somebody asks for what is to be back-filled", "err", err)
		return nil
	}
	for {
		b, err := c.read()
		if err != nil || len(b) == 0 {
			return nil
		}
		switch b[0] {
		case commandQuit:
			return nil
		case commandQuery:
			err = s.answer(c, string(b[1:]))
		case commandPing, commandRegister:
			err = c.ok()
		case commandDump, commandDumpGTID:
			return s.dump(ctx, c)
		default:
			err = c.refuse(1047, "08S01", "Unknown command")
		}
		if err != nil {
			return nil
		}
	}
}

// answer tells a replica what it asks before it replicates.
func (s *Source) answer(c *conn, query string) error {
	q := strings.ToUpper(strings.TrimSpace(query))
	checksums := "NONE"
	if s.in.Tail.Checksums {
		checksums = "CRC32"
	}
	values := []struct{ word, name, value string }{
		{"UNIX_TIMESTAMP", "UNIX_TIMESTAMP()", strconv.FormatInt(time.Now().Unix(), 10)},
		{"SERVER_ID", "SERVER_ID", strconv.FormatUint(uint64(s.in.Tail.Server), 10)},
		{"SERVER_UUID", "SERVER_UUID", "ba704000-0000-4000-8000-" + s.Password[:12]},
		{"BINLOG_CHECKSUM", "binlog_checksum", checksums},
		{"GTID_MODE", "GTID_MODE", "ON"},
		{"GTID_DOMAIN_ID", "gtid_domain_id", "0"},
		{"VERSION()", "VERSION()", s.in.Tail.Version},
	}
	if strings.HasPrefix(q, "SET ") {
		return c.ok()
	}
	for _, v := range values {
		switch {
		case !strings.Contains(q, v.word):
		case strings.HasPrefix(q, "SHOW "):
			return c.row([]string{"Variable_name", "Value"}, []string{v.name, v.value})
		default:
			return c.row([]string{v.name}, []string{v.value})
		}
	}
	// What it does not know a replica takes for a source that is older.
	return c.refuse(1193, "HY000", "Unknown system variable")
}

// dump gives the events.
func (s *Source) dump(ctx context.Context, c *conn) error {
	s.mu.Lock()
	again := s.given
	s.given = true
	s.mu.Unlock()
	if again {
		_ = c.refuse(1236, "HY000", "what is to be back-filled was given already")
		return errors.New("the server's receiver lost its connection to what is back-filled")
	}
	var given int64
	var current gtid.Set
	for {
		head, err := s.in.events.Peek(binlog.HeaderLength)
		if errors.Is(err, io.EOF) && len(head) == 0 {
			break
		}
		if err != nil {
			return fmt.Errorf("get the next event: %w", err)
		}
		h := binlog.ReadHeader(head)
		if h.Length < binlog.HeaderLength {
			return fmt.Errorf("get the next event: its length is %d", h.Length)
		}
		if h.Kind == binlog.GTID || h.Kind == binlog.GTIDMaria {
			s.note(current, given)
			if current, err = s.next(h); err != nil {
				return err
			}
			if s.tooFar(given) {
				if err := c.out.Flush(); err != nil {
					return fmt.Errorf("give the next event: %w", err)
				}
				if err := s.wait(ctx, given); err != nil {
					return err
				}
			}
		}
		if int64(s.in.events.Buffered()) < h.Length {
			// The rest of it is waited for, and may never come.
			if err := c.out.Flush(); err != nil {
				return fmt.Errorf("give the next event: %w", err)
			}
		}
		if err := c.stream(1+h.Length, io.MultiReader(bytes.NewReader([]byte{0}), s.in.events)); err != nil {
			return fmt.Errorf("give the next event: %w", err)
		}
		given += h.Length
		if s.in.events.Buffered() < binlog.HeaderLength {
			if err := c.out.Flush(); err != nil {
				return fmt.Errorf("give the next event: %w", err)
			}
		}
	}
	if err := c.out.Flush(); err != nil {
		return fmt.Errorf("give the last event: %w", err)
	}
	_, _ = c.read() // until the replica goes, or ctx ends: one that loses its source comes again
	return nil
}

// next reads which transaction an event begins.
func (s *Source) next(h binlog.Header) (gtid.Set, error) {
	event, err := s.in.events.Peek(int(min(h.Length, binlog.HeaderLength+25)))
	if err != nil {
		return gtid.Set{}, fmt.Errorf("get the next event: %w", err)
	}
	var id string
	ok := false
	if h.Kind == binlog.GTIDMaria {
		id, _, ok = mariadbGTID(h, event[binlog.HeaderLength:])
	} else {
		var source string
		var number uint64
		if source, number, ok = mysqlGTID(event[binlog.HeaderLength:]); ok {
			id = fmt.Sprintf("%s:%d", source, number)
		}
	}
	if !ok {
		return gtid.Set{}, errors.New("get the next event: its GTID is cut off")
	}
	return gtid.ParseTransaction(id)
}

func (s *Source) note(id gtid.Set, until int64) {
	if id.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = append(s.ahead, sent{id, until})
	s.whole = s.whole.Union(id)
}

// Given are the transactions that were given whole.
func (s *Source) Given() gtid.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole
}

// tooFar reports that enough was given beyond what is applied.
func (s *Source) tooFar(given int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ahead) > 0 && given-s.applied > Window
}

func (s *Source) wait(ctx context.Context, given int64) error {
	for s.tooFar(given) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.grown:
		}
	}
	return nil
}

// Applied takes in what the server has applied by now.
func (s *Source) Applied(set gtid.Set) {
	s.mu.Lock()
	n := 0
	for n < len(s.ahead) && set.Contains(s.ahead[n].id) {
		s.applied = s.ahead[n].until
		n++
	}
	s.ahead = s.ahead[n:]
	s.mu.Unlock()
	select {
	case s.grown <- struct{}{}:
	default:
	}
}
