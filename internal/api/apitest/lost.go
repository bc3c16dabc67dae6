package apitest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/baton-db/baton/internal/api"
)

// Lost is the one audit that there is.
func (c *Cluster) Lost(context.Context) ([]api.Lost, error) {
	return []api.Lost{{
		Name: "6", Directory: "/var/lib/baton/lost/shop/6", At: "2026-03-01T12:00:00Z", Node: "db3", Primary: "db1", Epoch: 6, GTIDs: "0-3-17",
		Headline: "1 transaction, 2 rows in 1 table", Transactions: 1, Rows: 2, Tables: []api.LostRows{{Table: "shop.orders", Inserted: 1, Updated: 1}},
		Since:        &api.LostSince{At: "2026-03-01T12:00:01Z", Primary: "db1", Unchanged: 1, Changed: 1, Text: "1 of 2 rows have been changed on db1 since"},
		Acknowledged: "possibly", AckWhy: "durability.mode is async: commits are answered at once",
	}}, nil
}

// LostCheck finds both rows changed.
func (c *Cluster) LostCheck(ctx context.Context, name string) (api.Lost, error) {
	if name != "6" {
		return api.Lost{}, &api.Error{Status: http.StatusNotFound, Message: fmt.Sprintf("this node has no audit %s", name), Mend: "`baton lost` lists those it has"}
	}
	all, err := c.Lost(ctx)
	if err != nil {
		return api.Lost{}, err
	}
	one := all[0]
	one.Since = &api.LostSince{At: "2026-03-01T13:00:00Z", Primary: "db1", Changed: 2, Text: "2 of 2 rows have been changed on db1 since"}
	return one, nil
}

// LostFile is a line of it.
func (c *Cluster) LostFile(_ context.Context, name string, transactions bool) (io.ReadCloser, error) {
	switch {
	case name != "6":
		return nil, &api.Error{Status: http.StatusNotFound, Message: fmt.Sprintf("this node has no audit %s", name), Mend: "`baton lost` lists those it has"}
	case transactions:
		return io.NopCloser(strings.NewReader("{\"transactions\":[]}\n")), nil
	}
	return io.NopCloser(strings.NewReader("Transactions that db3 has and the primary db1 lacks\n")), nil
}
