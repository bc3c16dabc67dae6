package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/vitals"
)

// TestARealPrometheusIsAsked: what layer 4 asks, of a server as it is installed.
func TestARealPrometheusIsAsked(t *testing.T) {
	rare(t)
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("NOT TESTED: no prometheus on this machine (Debian: apt-get install prometheus)")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(inTime(t), time.Minute)
	defer cancel()
	server := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	logs, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait() // it was killed
	}()
	url := ""
	listens := regexp.MustCompile(`(?:address=|Listening on.*)(127\.0\.0\.1:[1-9]\d*)`)
	for lines := bufio.NewScanner(logs); url == "" && lines.Scan(); {
		if m := listens.FindStringSubmatch(lines.Text()); m != nil {
			url = "http://" + m[1]
		}
	}
	go io.Copy(io.Discard, logs) //nolint:errcheck // until it ends
	if url == "" {
		t.Fatal("prometheus does not say where it listens")
	}
	ask := func(query string) []float64 {
		t.Helper()
		for {
			values, err := vitals.Query(ctx, url, query)
			if err == nil || ctx.Err() != nil {
				if err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				return values
			}
			select { // it is still starting
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	if got := ask("scalar(vector(1.5))"); !slices.Equal(got, []float64{1.5}) {
		t.Errorf("a number: %v", got)
	}
	if got := ask(`label_replace(vector(2), "a", "b", "", "") or vector(7)`); !slices.Equal(got, []float64{2, 7}) {
		t.Errorf("a list: %v", got)
	}
	if got, err := vitals.Query(ctx, url, `nobody_measures_this{instance="db1:9100"}`); !errors.Is(err, vitals.ErrNoData) {
		t.Errorf("what nobody measures: %v, %v", got, err)
	}
	for _, wrong := range []string{"sum(", "up[5m]"} {
		if got, err := vitals.Query(ctx, url, wrong); err == nil {
			t.Errorf("%s: %v", wrong, got)
		}
	}
}
