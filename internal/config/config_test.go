package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
)

var update = flag.Bool("update", false, "write docs/configuration.md and the golden files anew")

const document = "../../docs/configuration.md"

func TestDocumentationSaysWhatTheTableSays(t *testing.T) {
	golden(t, document, Document())
}

// golden compares a text with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is out of date (run the test with -update):\n%s", file, diff)
	}
}

// The table and the shape of Config are two descriptions of one file.
func TestEveryKeyIsAFieldAndEveryFieldAKey(t *testing.T) {
	var fields []string
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for _, tag := range tags(typ) {
			f := fieldNamed(typ, tag)
			full := join(path, tag)
			switch {
			case f.Kind() == reflect.Pointer:
				fields = append(fields, full) // the rows of server: hold for it
			case isBlock(f):
				walk(f, full)
			case f.Kind() == reflect.Slice && isBlock(f.Elem()):
				fields = append(fields, full)
				walk(f.Elem(), full+"[]")
			default:
				fields = append(fields, full)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	var keys []string
	for _, k := range Keys() {
		keys = append(keys, k.Path)
	}
	slices.Sort(fields)
	slices.Sort(keys)
	if diff := cmp.Diff(fields, keys); diff != "" {
		t.Error(diff)
	}
}

func fieldNamed(t reflect.Type, tag string) reflect.Type {
	v, _ := fieldOf(reflect.New(t).Elem(), tag)
	return v.Type()
}

func TestEveryDefaultIsWithinItsBounds(t *testing.T) {
	for _, k := range Keys() {
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s is not documented in a sentence", k.Path)
		}
		if (k.Kind == Duration || k.Kind == Integer || k.Kind == Ratio || k.Kind == Size || k.Kind == Rate) && k.Min == "" {
			t.Errorf("%s has no bounds", k.Path)
		}
		if k.Rule != "" && k.Balanced != "" {
			t.Errorf("%s has both a default and a rule", k.Path)
		}
		for _, p := range []Profile{Fast, Balanced, WAN} {
			text := k.Default(p)
			if text == "" {
				continue
			}
			if what, _ := k.assign(reflect.New(kindType(k.Kind)).Elem(), text, false); what != "" {
				t.Errorf("default of %s under %s: %s", k.Path, p, what)
			}
		}
	}
}

func kindType(k Kind) reflect.Type {
	switch k {
	case Duration:
		return reflect.TypeFor[time.Duration]()
	case Size:
		return reflect.TypeFor[Bytes]()
	case Rate:
		return reflect.TypeFor[Speed]()
	case Integer:
		return reflect.TypeFor[int]()
	case Ratio:
		return reflect.TypeFor[float64]()
	case YesNo:
		return reflect.TypeFor[bool]()
	}
	return reflect.TypeFor[string]()
}

func TestProfilesGiveSettingsThatAgreeWithEachOther(t *testing.T) {
	for _, p := range []Profile{Fast, Balanced, WAN} {
		cfg, found := Parse("baton.yaml", fmt.Appendf(nil, smallest, p))
		if len(found) > 0 {
			t.Fatalf("%s: %s", p, found)
		}
		if err := cfg.Limits().Validate(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if cfg.Detection.Normal*4 > cfg.Timing.Hang && p == Fast {
			t.Errorf("%s: probes %s apart find a hang of %s late", p, cfg.Detection.Normal, cfg.Timing.Hang)
		}
	}
}

func TestSettingsAreWhatTheFileSays(t *testing.T) {
	cfg := mustParse(t, fmt.Sprintf(smallest, Fast)+`
durability: {mode: lossless, acks: 1, alone: wait}
timing: {hang: 2s}
automation: {cool_down: 3m, max_per_hour: 2}
`)
	want := cluster.Settings{
		Cluster: "shop",
		Nodes: []cluster.Node{
			{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}, {Name: "w1", Role: cluster.Witness},
		},
		Lease: 750 * time.Millisecond, Renew: 187500 * time.Microsecond, Call: 93750 * time.Microsecond, Drift: 0.01, Margin: 20 * time.Millisecond,
		Beat: time.Second, Hang: 2 * time.Second, Drain: 5 * time.Second, Handoff: 10 * time.Second, PromoteStall: 5 * time.Second,
		AckLeave: 1500 * time.Millisecond, PromiseWait: 375 * time.Millisecond,
		Durability: cluster.Lossless, Acks: 1, Alone: cluster.AloneWait, BackFill: 5 * time.Second, CoolDown: 3 * time.Minute, MaxPerHour: 2,
		Rejoin: cluster.RejoinPolicy{Acknowledged: cluster.Hold, Unacknowledged: cluster.Rewind},
	}
	if diff := cmp.Diff(want, cfg.Settings()); diff != "" {
		t.Error(diff)
	}
}

func TestExamplesAreAcceptedWithoutAWarning(t *testing.T) {
	files, err := filepath.Glob("../../docs/examples/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d examples (%v)", len(files), err)
	}
	for _, file := range files {
		cfg, found := Load(file)
		if len(found) > 0 {
			t.Errorf("%s", found)
		}
		if cfg != nil && cfg.Self().Name == "" {
			t.Errorf("%s: node %q is none of nodes", file, cfg.Node)
		}
	}
}

func TestANodesOwnServerKeysLieOverTheCommonOnes(t *testing.T) {
	cfg := mustParse(t, `node: db2
cluster: shop
nodes:
  - {name: db1, address: 10.77.0.11}
  - {name: db2, address: 10.77.0.12, server: {port: 3307, socket: own.sock, probe: {user: other}, start: [own, start]}}
  - {name: db3, address: 10.77.0.13}
server:
  port: 3310
  kill_hung: false
  replication: {password_file: /etc/baton/repl.password}
  probe: {password_file: probe.password}
  start: [systemctl, start, mariadb]
`)
	want := Server{
		Flavor: MariaDB, Port: 3307, Socket: "own.sock", User: "baton",
		Replication: Replication{User: "baton_repl", PasswordFile: "/etc/baton/repl.password"},
		Probe:       Account{User: "other", PasswordFile: "probe.password"},
		Writer:      Account{User: "other", PasswordFile: "probe.password"},
		Start:       []string{"own", "start"},
		Binlog:      "mariadb-binlog",
	}
	if diff := cmp.Diff(want, cfg.ServerOf("db2")); diff != "" {
		t.Error(diff)
	}
	want.Port, want.Socket, want.Start = 3310, "/run/mysqld/mysqld.sock", []string{"systemctl", "start", "mariadb"}
	want.Probe.User, want.Writer.User = "baton_probe", "baton_probe"
	if diff := cmp.Diff(want, cfg.ServerOf("db1")); diff != "" {
		t.Error(diff)
	}
}

func TestRelativePathsCountFromTheFile(t *testing.T) {
	cfg, found := Parse("/srv/baton/baton.yaml", fmt.Appendf(nil, smallest, Balanced))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	got := []string{cfg.TLS.CA, cfg.TLS.Cert, cfg.TLS.Key, cfg.Server.Probe.PasswordFile, cfg.DataDir, cfg.Server.Socket}
	want := []string{"/srv/baton/tls/ca.crt", "/srv/baton/tls/db1.crt", "/srv/baton/tls/db1.key", "/srv/baton/probe.password", "/var/lib/baton", "/run/mysqld/mysqld.sock"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsShownIsReadBackAsTheSame(t *testing.T) {
	files, err := filepath.Glob("../../docs/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		cfg, _ := Load(file)
		text, err := cfg.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, found := Parse(file, text)
		if err := found.Err(); err != nil {
			t.Fatalf("%s: %v in:\n%s", file, err, text)
		}
		if changed := Diff(cfg, again); len(changed) > 0 || again.Hash() != cfg.Hash() {
			t.Errorf("%s: %v", file, changed)
		}
		var plain map[string]any
		b, err := json.Marshal(cfg)
		if err != nil || json.Unmarshal(b, &plain) != nil || plain["cluster"] != cfg.Cluster {
			t.Errorf("%s: as JSON it is %s (%v)", file, b, err)
		}
	}
}

func TestRowsSayWhereAValueComesFrom(t *testing.T) {
	cfg := mustParse(t, fmt.Sprintf(smallest, Fast)+"timing:\n  hang: 2s\n")
	got := map[string]string{}
	for _, r := range cfg.Rows() {
		got[r.Key] = r.Value + " from " + r.Source
	}
	for key, want := range map[string]string{
		"timing.hang":              "2s from line 12",
		"timing.lease":             "750ms from profile fast",
		"timing.renew":             "187.5ms from lease / 4",
		"server.port":              "3306 from default",
		"nodes[w1].role":           "witness from line 7",
		"detection.timeout.server": "2s from timing.hang",
	} {
		if got[key] != want {
			t.Errorf("%s: %q, want %q", key, got[key], want)
		}
	}
}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	cfg, found := Parse("baton.yaml", []byte(text))
	if err := found.Err(); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return cfg
}

func TestWhatIsFailedOverOn(t *testing.T) {
	cfg := mustParse(t, fmt.Sprintf(smallest, Fast)+`
health:
  locks: {above: 10, for: 2s, action: failover}
  prometheus:
    - {name: lag, url: "http://10.0.0.9:9090", query: 'lag{node="$node"}', below: 0.5, action: failover}
    - {name: other, url: "http://10.0.0.9:9090", query: x, above: 5}
`)
	if diff := cmp.Diff([]string{"lag", "locks"}, cfg.Settings().FailOverOn); diff != "" {
		t.Error(diff)
	}
	if got := cfg.Health.Threshold("locks"); got.Name != "locks" || got.Limit != 10 || got.Below || got.For != 2*time.Second {
		t.Errorf("locks: %+v", got)
	}
	if got := cfg.Health.Prometheus[0].Threshold(); got.Name != "lag" || got.Limit != 0.5 || !got.Below || got.For != time.Minute {
		t.Errorf("lag: %+v", got)
	}
}

func TestSizesAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "0KiB": 0, "1B": 1, "1KiB": 1 << 10, "1536KiB": 3 << 19, "256MiB": 1 << 28, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		if n, err := parseSize(text); err != nil || n != want {
			t.Errorf("%s is %d, %v", text, n, err)
		}
		if n, err := parseSize(Bytes(want).String()); err != nil || n != want {
			t.Errorf("%s is written %s, which is %d, %v", text, Bytes(want), n, err)
		}
		if n, err := parseSpeed(Speed(want).String()); err != nil || n != want {
			t.Errorf("%s a second is written %s, which is %d, %v", text, Speed(want), n, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1KiB", "1.5GiB", "1 GiB", "1GB", "1gib", "1GiB/s", "8388608TiB"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("%q is %d", text, n)
		}
	}
}
