package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/api/public"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// window is what anybody may see of this agent without making it wait. It implements
// public.Source.
type window struct {
	live     *api.Live
	late     *atomic.Int64
	keeper   atomic.Pointer[keeper] // nil until there is one
	look     atomic.Pointer[public.Look]
	switches atomic.Pointer[[]api.LastSwitch]
}

func (w *window) Serving() public.Serving {
	if k := w.keeper.Load(); k != nil {
		if s := k.shown.Load(); s != nil {
			return *s
		}
	}
	return public.Serving{}
}

func (w *window) Look() *public.Look { return w.look.Load() }

func (w *window) Snapshot() (api.Snapshot, bool) { return w.live.Snapshot() }

func (w *window) LateRenewals() int64 { return w.late.Load() }

func (w *window) Switches() []api.LastSwitch {
	if s := w.switches.Load(); s != nil {
		return *s
	}
	return nil
}

// notPrimary says why clients that write are not to be led here; empty if they may.
func notPrimary(in reconcile.Input) string {
	r := in.Record
	switch {
	case r.Primary == "":
		return "the cluster has no primary now"
	case r.Primary != in.Self:
		return fmt.Sprintf("%s is primary", r.Primary)
	case in.Host.Gate != reconcile.GateOpenLeased:
		return "the gate is not open for clients that write"
	case reconcile.Serving(in) != r.Epoch:
		return "this server does not take writes now"
	}
	return ""
}

// notReplica says why clients that read are not to be led here; empty if they may.
func notReplica(in reconcile.Input) string {
	if why := notReadable(in.Self, in.Own, in.Host.Gate, in); why != "" {
		return why
	}
	if r := in.Own.Server.Replica; in.Record.Phase == cluster.PhaseSteady && (!r.Receiving || !r.Applier) {
		return fmt.Sprintf("nothing comes in from %s, or it is not applied", in.Record.Primary)
	}
	return ""
}

// notReadable says why clients that read are not to be led to a node, however far
// behind it is; empty if they may. While a switch goes on, replicas are between two
// sources and have what they have.
func notReadable(node cluster.NodeName, said cluster.Fact, gate reconcile.GateMode, in reconcile.Input) string {
	r, srv := in.Record, said.Server
	self, _ := in.Settings.Node(node)
	behindGate := gate != reconcile.GateOpenRead && gate != reconcile.GateMissing
	switch {
	case self.Role != cluster.Data:
		return "a witness has no server"
	case in.Rev == 0:
		return "there is no record of the cluster yet"
	case r.Primary == node:
		return "this node is primary"
	case r.Maintained(node) != nil:
		return "somebody works on this node"
	case srv.State != cluster.ServerUp:
		return "the server is " + cmp.Or(string(srv.State), "not known")
	case said.Held != "":
		return "the node is held: " + said.Held
	case !srv.ReadOnly:
		return "the server takes writes and is not primary"
	case said.Mode == cluster.Active && behindGate:
		return "the gate is shut"
	case srv.Replica.Error != "":
		return "replication has stopped: " + srv.Replica.Error
	case r.Phase != cluster.PhaseSteady:
		return ""
	case srv.Replica.Source != r.Primary:
		return fmt.Sprintf("the server does not follow %s", r.Primary)
	}
	return ""
}

// unwell says what is wrong with this node; empty if nothing is.
func unwell(in reconcile.Input, w decide.World) string {
	self, _ := in.Settings.Node(in.Self)
	switch {
	case w.StoreSilent:
		return "the store does not answer this node"
	case w.Unreadable != "":
		return "what the store holds cannot be read: " + w.Unreadable
	case self.Role == cluster.Data && in.Own.Server.State != cluster.ServerUp:
		return "the server is " + cmp.Or(string(in.Own.Server.State), "not known")
	}
	return ""
}

// show makes what this look came to visible to those who ask over the network.
func (l *loop) show(in reconcile.Input, w decide.World) {
	if l.window == nil {
		return
	}
	look := &public.Look{At: in.Now, Stale: max(2*l.Settings.Lease, 2*time.Second), Node: l.Self, Epoch: in.Record.Epoch,
		NotPrimary: notPrimary(in), NotReplica: notReplica(in), Unwell: unwell(in, w)}
	if seen, ok := l.Board.Facts[in.Record.Primary]; ok {
		// The position was read at most one renewal before it was told.
		l.lag.Saw(seen.At.Add(-l.Settings.Renew), seen.Value.Server.Executed)
	}
	look.AppliedAt, _ = l.lag.AppliedAt(in.Own.Server.Executed)
	l.window.look.Store(look)
}

// listenAgain is the pause after an address could not be listened on.
const listenAgain = 5 * time.Second

// publicly is what is wrong with the addresses that are listened on.
type publicly struct {
	mu    sync.Mutex
	wrong map[string]string
}

// say notes it, and returns all of it for the status.
func (p *publicly) say(address, wrong string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wrong == nil {
		p.wrong = map[string]string{}
	}
	delete(p.wrong, address)
	if wrong != "" {
		p.wrong[address] = wrong
	}
	var all []string
	for _, a := range slices.Sorted(maps.Keys(p.wrong)) {
		all = append(all, p.wrong[a])
	}
	return strings.Join(all, "; ")
}

// answerPublicly answers over HTTP on every address of http.listen until ctx ends.
func (a *Agent) answerPublicly(ctx context.Context, again time.Duration) {
	h := public.Handler(&a.window, clock.Now, a.Log)
	a.listenOn(ctx, a.Config.HTTP.Listen, again, cluster.NotListening, func(ctx context.Context, address string, listening func()) error {
		return a.answerOn(ctx, address, h, listening)
	})
}

// listenOn answers on addresses until ctx ends. What is wrong with one is said as a
// condition, and tried again: the cluster runs without it.
func (a *Agent) listenOn(ctx context.Context, addresses []string, again time.Duration, otherwise cluster.Reason, answer func(ctx context.Context, address string, listening func()) error) {
	var all sync.WaitGroup
	defer all.Wait()
	var wrongs publicly
	say := func(wrong string) {
		a.post(func(l *loop) { l.Conditions.Put(otherwise, wrong) })
	}
	for _, address := range addresses {
		all.Go(func() {
			for ctx.Err() == nil {
				err := answer(ctx, address, func() { say(wrongs.say(address, "")) })
				if ctx.Err() != nil {
					return
				}
				say(wrongs.say(address, err.Error()))
				waited(ctx, again)
			}
		})
	}
}

// answerOn answers on one address for as long as that goes well.
func (a *Agent) answerOn(ctx context.Context, address string, h http.Handler, listening func()) error {
	secure, err := publicTLS(a.Config.HTTP.TLS)
	if err != nil {
		return fmt.Errorf("answer over HTTP on %s: %w", address, err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("answer over HTTP: %w", err)
	}
	a.Log.Info("answering over HTTP", "address", l.Addr().String(), "tls", secure != nil)
	listening()
	return public.Serve(ctx, l, secure, h, a.Log)
}

// publicTLS is what http.tls says; nil if it says nothing.
func publicTLS(files config.TLS) (*tls.Config, error) {
	if files.Cert == "" {
		return nil, nil
	}
	c := &renewed{files: files}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get}
	if files.CA == "" {
		return secure, nil
	}
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, fmt.Errorf("read the authority of clients: %w", err)
	}
	secure.ClientCAs, secure.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !secure.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the authority of clients: %s holds no certificate", files.CA)
	}
	return secure, nil
}

// renewed is a certificate that is read anew when its file has changed, as it does
// where it lasts for weeks only.
type renewed struct {
	files config.TLS

	mu   sync.Mutex
	cert *tls.Certificate
	at   time.Time // when the file was written
}

// get returns the certificate. One that cannot be read now leaves the one before.
func (c *renewed) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.files.Cert)
	if err == nil && c.cert != nil && info.ModTime().Equal(c.at) {
		return c.cert, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	}
	switch {
	case err == nil:
		c.cert, c.at = &pair, info.ModTime()
	case c.cert == nil:
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	return c.cert, nil
}

var _ public.Source = (*window)(nil)
