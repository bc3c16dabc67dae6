package audit

import (
	"os"
	"testing"

	"github.com/baton-db/baton/internal/db/dbtest"
)

// TestMemoryDoesNotGrowWithTheLog: a transaction of 48 MiB needs no more than one
// of 4 MiB.
func TestMemoryDoesNotGrowWithTheLog(t *testing.T) {
	most := map[int]uint64{}
	s := start(t, MariaDB, "--max-allowed-packet=64M", "--innodb-log-file-size=64M")
	for _, mib := range []int{2, 24} { // each row is in the log twice
		before := s.executed(t)
		s.big(t, mib)
		j := s.job(t, before)
		most[mib] = dbtest.Peak(func() {
			if sum, _ := audited(t, j); sum.Rows != 2*mib {
				t.Errorf("%d rows of %d", sum.Rows, 2*mib)
			}
		})
		t.Logf("%d MiB of log: %.1f MiB of memory", 2*mib, float64(most[mib])/(1<<20))
	}
	if most[24] > most[2]+12<<20 {
		t.Errorf("48 MiB of log took %d bytes, 4 MiB took %d", most[24], most[2])
	}
}

// BenchmarkBigLog reads a log of a gigabyte (BATON_BIG=1; otherwise of 32 MiB)
// and reports how much memory that took.
func BenchmarkBigLog(b *testing.B) {
	mib := 16
	if os.Getenv("BATON_BIG") != "" {
		mib = 512
	}
	s := start(b, MariaDB, "--max-allowed-packet=64M", "--innodb-log-file-size=64M")
	before := s.executed(b)
	s.big(b, mib)
	j := s.job(b, before)
	b.SetBytes(int64(2 * mib << 20))
	var most uint64
	for b.Loop() {
		most = max(most, dbtest.Peak(func() { audited(b, j) }))
	}
	b.ReportMetric(float64(most)/(1<<20), "peak-MiB")
}
