package lab

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/config"
)

// rowsInBig are the rows of the table app.big, of some 250 bytes each: twice as much
// as the buffer pool of a lab's server holds.
func (l *Lab) rowsInBig() int {
	if l.Flavor == config.MySQL {
		return 520_000
	}
	return 260_000
}

// hotRows of them are what clients read.
const hotRows = 20_000

// heatLimit is how long one of their statements may take on a busy machine.
const heatLimit = 2 * time.Minute

// FillBig makes a table on the primary that is larger than its buffer pool.
func (l *Lab) FillBig(ctx context.Context, primary string) error {
	db := l.openFor(primary, heatLimit)
	defer db.Close()
	const step = 10_000
	run := func(statement string, args ...any) error {
		if _, err := db.ExecContext(ctx, statement, args...); err != nil {
			return fmt.Errorf("fill a large table at %s: %w", primary, err)
		}
		return nil
	}
	if err := run("CREATE TABLE app.big (id INT PRIMARY KEY, text CHAR(230) NOT NULL) CHARACTER SET latin1"); err != nil {
		return err
	}
	digits := "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
	numbers := fmt.Sprintf("SELECT a.d + 10*b.d + 100*c.d + 1000*e.d AS n FROM %[1]s a, %[1]s b, %[1]s c, %[1]s e", digits)
	for from := 0; from < l.rowsInBig(); from += step {
		if err := run("INSERT INTO app.big SELECT n + ?, REPEAT('x', 230) FROM ("+numbers+") numbers", from); err != nil {
			return err
		}
	}
	return nil
}

// LetHeat allows the agents to have the servers list and read pages.
func (l *Lab) LetHeat(ctx context.Context, primary string) error {
	db := l.open(primary)
	defer db.Close()
	if _, err := db.ExecContext(ctx, "GRANT SUPER ON *.* TO "+agentUser+"@localhost"); err != nil {
		return fmt.Errorf("give the agent's account SUPER: %w", err)
	}
	return nil
}

// Reads are how long point reads took.
type Reads struct {
	Count              int
	Median, P99, Worst time.Duration
	FromDisk           int // pages that the server had not in memory meanwhile
}

// ReadHot reads so many single rows among the hot ones of app.big, one after the
// other.
func (l *Lab) ReadHot(ctx context.Context, node string, count int) (Reads, error) {
	db := l.openFor(node, heatLimit)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return Reads{}, fmt.Errorf("log in to the server of %s: %w", node, err)
	}
	defer conn.Close()
	before, err := pagesRead(ctx, conn)
	if err != nil {
		return Reads{}, err
	}
	var took []time.Duration
	for range count {
		var text string
		at := time.Now()
		if err := conn.QueryRowContext(ctx, fmt.Sprintf("SELECT text FROM app.big WHERE id = %d", rand.IntN(hotRows))).Scan(&text); err != nil {
			return Reads{}, fmt.Errorf("read a row at %s: %w", node, err)
		}
		took = append(took, time.Since(at))
	}
	after, err := pagesRead(ctx, conn)
	if err != nil {
		return Reads{}, err
	}
	slices.Sort(took)
	n := len(took)
	return Reads{Count: n, Median: took[n/2], P99: took[n*99/100], Worst: took[n-1], FromDisk: after - before}, nil
}

// pagesRead is how many pages a server has had to read from its disk for somebody.
func pagesRead(ctx context.Context, conn *sql.Conn) (n int, err error) {
	var name string
	if err := conn.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_reads'").Scan(&name, &n); err != nil {
		return 0, fmt.Errorf("ask how many pages were read: %w", err)
	}
	return n, nil
}
