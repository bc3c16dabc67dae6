package embed

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	etcd "go.etcd.io/etcd/server/v3/embed"
)

// What the member is tuned for: some hundred small keys, and some ten small
// writes a second for ever.
const (
	quota          = 256 << 20        // bytes; beyond it etcd raises NOSPACE
	compactEvery   = "1m"             // older versions of a key are forgotten after one to two of it
	snapshotCount  = 2000             // entries of the log between two snapshots; they are held in memory
	catchUpEntries = 500              // of them are kept for a member that lags
	keptWALs       = 2                // files of 64 MiB
	batchInterval  = time.Second      // between two syncs of the database file; the log is synced with every write
	slowApply      = time.Second      // an entry that takes longer is worth a line in the log
	checkEvery     = 10 * time.Minute // comparison of the members' data
)

func (o Options) withDefaults() Options {
	o.Heartbeat = cmp.Or(o.Heartbeat, 50*time.Millisecond)
	o.Election = cmp.Or(o.Election, 500*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Marker == "" {
		o.Marker = filepath.Clean(o.DataDir) + ".member"
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for name, v := range map[string]string{"Cluster": o.Cluster, "Self": string(o.Self), "DataDir": o.DataDir, "CA": o.CA, "Cert": o.Cert, "Key": o.Key} {
		if v == "" {
			wrong("Options.%s is empty", name)
		}
	}
	if _, ok := o.Peers[o.Self]; !ok {
		wrong("Options.Peers does not have %q", o.Self)
	}
	for n, addr := range o.Peers {
		if strings.ContainsAny(string(n), ",=") || n == "" {
			wrong("Options.Peers: %q cannot be a member's name", n)
		}
		if !addr.IsValid() || addr.Addr().IsUnspecified() || addr.Port() == 0 {
			wrong("Options.Peers: %s has no address with a port", n)
		}
	}
	if o.Heartbeat < time.Millisecond || o.Election < 5*o.Heartbeat {
		wrong("Options.Election must be at least 5 times Options.Heartbeat: %s and %s", o.Election, o.Heartbeat)
	}
	if rel, err := filepath.Rel(o.DataDir, o.Marker); err == nil && !strings.HasPrefix(rel, "..") {
		wrong("Options.Marker must be outside of Options.DataDir, or it is lost with it")
	}
	return errors.Join(errs...)
}

// config is how etcd is told. It serves no HTTP but to its peers: no gateway, no
// metrics, no profiles.
func (m *Member) config(f founding) (*etcd.Config, error) {
	o := m.opts
	cfg := etcd.NewConfig()
	cfg.Name, cfg.Dir = string(o.Self), o.DataDir
	cfg.TickMs, cfg.ElectionMs = uint(o.Heartbeat.Milliseconds()), uint(o.Election.Milliseconds())
	cfg.ClusterState, cfg.InitialCluster, cfg.InitialClusterToken = f.state, f.initial, "baton-"+o.Cluster

	peer, err := url.Parse(o.peerURL(o.Self))
	if err != nil {
		return nil, err
	}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.PeerTLSInfo = o.tls()
	cfg.TlsMinVersion = "TLS1.3"

	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = nil, nil
	if o.RunDir != "" {
		if err := privateDir(filepath.Dir(o.Socket())); err != nil {
			return nil, err
		}
		cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: o.Socket()}}
	}
	// Members count as started once they have published client URLs. Nobody
	// connects to this one.
	cfg.AdvertiseClientUrls = []url.URL{{Scheme: "unix", Path: filepath.Join("/", o.Socket())}}
	cfg.EnableGRPCGateway = false

	cfg.QuotaBackendBytes = quota
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = etcd.CompactorModePeriodic, compactEvery
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = snapshotCount, catchUpEntries
	cfg.MaxWalFiles = keptWALs
	cfg.BackendBatchInterval = batchInterval
	cfg.WarningApplyDuration, cfg.WarningUnaryRequestDuration = slowApply, slowApply
	cfg.CompactHashCheckTime = checkEvery

	cfg.LogLevel = "info"
	cfg.ZapLoggerBuilder = etcd.NewZapLoggerBuilder(m.zap())
	return cfg, nil
}

// privateDir makes a directory that only we may enter, or refuses one that
// others may: whoever reaches the socket in it may change everything.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the store's socket: %w", err)
	}
	st, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the directory of the store's socket: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("the directory %s of the store's socket is open to others (mode %04o): chmod 700 it", dir, st.Mode().Perm())
	}
	return nil
}
