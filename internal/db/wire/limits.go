package wire

import (
	"context"
	"fmt"
	"strconv"

	"github.com/baton-db/baton/internal/core/reach"
)

// Limits implements db.Looker. It asks over the connection of the read probe. What a
// flavor does not have stays unknown.
func (s *Server) Limits(ctx context.Context) (reach.Server, error) {
	var limits reach.Server
	err := s.Read.Use(ctx, func(l *Link) error {
		variables, err := l.Query(ctx, `SHOW GLOBAL VARIABLES WHERE Variable_name IN
			('wait_timeout', 'interactive_timeout', 'net_read_timeout', 'net_write_timeout', 'connect_timeout', 'back_log', 'tcp_keepalive_time')`)
		if err != nil {
			return err
		}
		value := map[string]*int64{}
		for _, row := range variables {
			if v, err := strconv.ParseInt(row["Value"], 10, 64); err == nil {
				value[row["Variable_name"]] = &v
			}
		}
		limits = reach.Server{
			Wait: value["wait_timeout"], Interactive: value["interactive_timeout"], NetRead: value["net_read_timeout"], NetWrite: value["net_write_timeout"],
			Connect: value["connect_timeout"], BackLog: value["back_log"], Keepalive: value["tcp_keepalive_time"],
		}
		status, err := l.Query(ctx, `SHOW GLOBAL STATUS WHERE Variable_name IN ('Rpl_semi_sync_master_tx_avg_wait_time', 'Rpl_semi_sync_source_tx_avg_wait_time',
			'Rpl_semi_sync_master_tx_waits', 'Rpl_semi_sync_source_tx_waits')`)
		if err != nil {
			return err
		}
		limits.AckWait = ackWait(status)
		return nil
	})
	if err != nil {
		return reach.Server{}, fmt.Errorf("read what the server at %s does about connections: %w", s.Socket, err)
	}
	return limits, nil
}

// ackWait is the average of a server whose commits have waited.
func ackWait(status []map[string]string) *int64 {
	var average, waits int64
	for _, row := range status {
		switch n := int64(Number(row["Value"])); row["Variable_name"] {
		case "Rpl_semi_sync_master_tx_avg_wait_time", "Rpl_semi_sync_source_tx_avg_wait_time":
			average = n
		default:
			waits = n
		}
	}
	if waits == 0 {
		return nil
	}
	return &average
}
