package wire

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// longEnough is from when on a time limit of semi-synchronous replication counts as
// none. Baton sets a year.
const longEnough = 24 * time.Hour

// WeakSemiSync says which of a source's semi-synchronous settings, by their names on
// either flavor, lets a commit be answered without acks acknowledgements; nothing if
// none does, or it is not enabled.
func WeakSemiSync(enabled bool, settings map[string]string, acks int) string {
	if !enabled {
		return ""
	}
	var weak []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value := settings[name]
		ok := true
		switch {
		case !strings.Contains(name, "_sync_master_") && !strings.Contains(name, "_sync_source_"):
		case strings.HasSuffix(name, "_timeout"):
			ok = time.Duration(Number(value))*time.Millisecond >= longEnough
		case strings.HasSuffix(name, "_wait_point"):
			ok = value == "AFTER_SYNC"
		case strings.HasSuffix(name, "_wait_for_replica_count"), strings.HasSuffix(name, "_wait_for_slave_count"):
			ok = Number(value) >= uint64(max(acks, 0))
		case strings.HasSuffix(name, "_wait_no_slave"), strings.HasSuffix(name, "_wait_no_replica"):
			ok = IsOn(value)
		}
		if !ok {
			weak = append(weak, fmt.Sprintf("%s is %s", name, value))
		}
	}
	return strings.Join(weak, ", ")
}
