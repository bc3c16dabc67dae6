package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/store"
)

const strayRequest = "/baton/" + clusterName + "/requests/stray"

// writeGarbage puts what cannot be read over every value that a decision rests
// on but the record, several times, and a request that names another than its key.
func (l *Lab) writeGarbage(ctx context.Context, node string) error {
	e, err := l.dialStore(node)
	if err != nil {
		return err
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	prefix := "/baton/" + clusterName + "/"
	ops := []store.Op{
		{Key: strayRequest, Value: []byte(`{"schema":1,"id":"another","kind":"switchover","by":"nobody","epoch":0}`)},
		{Key: prefix + "lease", Value: []byte(`{"schema":1,"epoch":1,"holder":"nobody","length":9223372036854775807}`)},
	}
	for i, n := range l.Nodes() {
		odd := []string{`{"schema":1,"node":"` + n + `","epoch":18446744073709551615}`, `{`, "\x00", `{"schema":99}`}
		ops = append(ops,
			store.Op{Key: prefix + "facts/" + n, Value: []byte(odd[i%len(odd)])},
			store.Op{Key: prefix + "views/" + n, Value: []byte(odd[(i+1)%len(odd)])})
	}
	for range 5 { // each time some of the agents write over some of it at once
		if _, err := e.Commit(ctx, nil, ops); err != nil {
			return fmt.Errorf("write garbage into the store through %s: %w", node, err)
		}
		ops[1].Value = append(ops[1].Value, '!')
	}
	return nil
}

// takeGarbage removes the request, which nobody else would; the rest has been
// written over by those whom it belongs to.
func (l *Lab) takeGarbage(ctx context.Context, node string) error {
	e, err := l.dialStore(node)
	if err != nil {
		return err
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := e.Commit(ctx, nil, []store.Op{{Key: strayRequest}}); err != nil {
		return fmt.Errorf("take the garbage out of the store through %s: %w", node, err)
	}
	return nil
}
