// Package peer answers what the agents of a cluster say to each other directly:
// short questions, and what is too big for the store. It is mutual TLS with the
// certificates of `baton init`, on a port of its own.
//
// It decides nothing and remembers nothing: who registers a handler says what is
// asked, who calls says how long to wait. The rule that must not be broken: a
// caller is the node that its certificate names and a member of this cluster, and
// a peer that is frozen or gone never holds a caller longer than it wants to wait.
package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Limits that nobody has to set.
const (
	dialTime  = 2 * time.Second // one connect, and one handshake
	callTime  = 5 * time.Second // a call whose context has no deadline
	quietTime = 2 * time.Minute // a stream in which nothing moves
	maxBody   = 1 << 20         // of a question and of its answer, in bytes
	pathRoot  = "/v1/"
)

// Options say who this node is and whom it speaks with.
type Options struct {
	Self  cluster.NodeName
	Nodes map[cluster.NodeName]netip.AddrPort // all of them, this one included

	Server *tls.Config                        // for who connects; must verify client certificates
	Client func(cluster.NodeName) *tls.Config // for a connection to that node; whoever answers must be it

	// Quiet is for how long nothing may move in a stream; 0: 2 minutes.
	Quiet time.Duration
	Log   *slog.Logger
}

// Handler answers a question of another node. A question may come twice: one
// whose connection broke before the answer is asked again. An error is told to
// the caller as a Refusal.
type Handler func(ctx context.Context, from cluster.NodeName, question []byte) (answer any, err error)

// JSON is the Handler for questions and answers of two types.
func JSON[Q, A any](f func(ctx context.Context, from cluster.NodeName, q Q) (A, error)) Handler {
	return func(ctx context.Context, from cluster.NodeName, question []byte) (any, error) {
		var q Q
		if err := json.Unmarshal(question, &q); err != nil {
			return nil, fmt.Errorf("read the question: %w", err)
		}
		return f(ctx, from, q)
	}
}

// Refusal is the error that a handler of another node answered with.
type Refusal struct {
	Node cluster.NodeName
	Why  string
}

func (r Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Node, r.Why) }

// Link is this node's end of the connections to all others.
type Link struct {
	o        Options
	listener net.Listener
	mux      *http.ServeMux
	clients  map[cluster.NodeName]*http.Client
}

// Listen opens the port. Handlers are registered next, then Serve answers.
func Listen(ctx context.Context, o Options) (*Link, error) {
	if o.Quiet == 0 {
		o.Quiet = quietTime
	}
	at, ok := o.Nodes[o.Self]
	if !ok {
		return nil, fmt.Errorf("listen for the other agents: %s is none of the nodes", o.Self)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listen for the other agents (peer.port): %w", err)
	}
	l := &Link{o: o, listener: listener, mux: http.NewServeMux(), clients: map[cluster.NodeName]*http.Client{}}
	for n, at := range o.Nodes {
		if n != o.Self {
			l.clients[n] = newClient(at, o.Client(n))
		}
	}
	return l, nil
}

func newClient(at netip.AddrPort, conf *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: dialTime, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", at.String())
		},
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: dialTime,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}}
}

// Addr is where this node listens.
func (l *Link) Addr() net.Addr { return l.listener.Addr() }

// Handle has a question answered. It must be called before Serve.
func (l *Link) Handle(path string, h Handler) {
	l.mux.HandleFunc("POST "+pathRoot+path, func(w http.ResponseWriter, r *http.Request) {
		question, from, ok := l.accept(w, r)
		if !ok {
			return
		}
		answer, err := h(r.Context(), from, question)
		var b []byte
		if err == nil {
			b, err = json.Marshal(answer)
		}
		if err != nil {
			l.o.Log.Debug("another node's question is refused", "from", from, "path", path, "err", err)
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b) // the caller notices
	})
}

// accept finds out who asks and reads the question.
func (l *Link) accept(w http.ResponseWriter, r *http.Request) (question []byte, from cluster.NodeName, ok bool) {
	from, err := l.caller(r.TLS)
	if err != nil {
		l.o.Log.Warn("somebody who is no other node of this cluster was turned away", "from", r.RemoteAddr, "err", err)
		http.Error(w, err.Error(), http.StatusForbidden)
		return nil, "", false
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(callTime))
	question, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = control.SetReadDeadline(time.Time{})
	if err != nil {
		http.Error(w, fmt.Sprintf("read the question: %v", err), http.StatusBadRequest)
		return nil, "", false
	}
	return question, from, true
}

// caller is the node whose certificate the connection came with.
func (l *Link) caller(state *tls.ConnectionState) (cluster.NodeName, error) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return "", errors.New("no certificate that the cluster's authority signed")
	}
	leaf := state.VerifiedChains[0][0]
	name := cluster.NodeName(leaf.Subject.CommonName)
	switch _, member := l.o.Nodes[name]; {
	case leaf.VerifyHostname(string(name)) != nil:
		return "", fmt.Errorf("the certificate of %q does not carry that name as a DNS name", name)
	case !member:
		return "", fmt.Errorf("%q is none of this cluster's nodes", name)
	case name == l.o.Self:
		return "", fmt.Errorf("the certificate is that of %s itself: every node needs its own", name)
	}
	return name, nil
}

// Serve answers until ctx ends; then it waits for the handlers, whose contexts
// end with it.
func (l *Link) Serve(ctx context.Context) error {
	server := &http.Server{
		Handler: l.mux, ReadHeaderTimeout: callTime, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		TLSConfig:   l.o.Server.Clone(),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(l.o.Log.Handler(), slog.LevelDebug),
		// One protocol on both ends, in which ending a call ends its connection: a
		// frozen peer then cannot hold the calls after it.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(l.listener, "", "") }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the other agents: %w", err)
	case <-ctx.Done():
	}
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	err := server.Shutdown(leave)
	if err != nil {
		err = server.Close()
	}
	<-ended
	for _, c := range l.clients {
		c.CloseIdleConnections()
	}
	return err
}

// Close closes the port of a link that is not served.
func (l *Link) Close() error { return l.listener.Close() }

// Call asks a node and waits for its answer until ctx ends, or for 5 seconds if
// ctx has no end. What the node's handler refuses is a Refusal.
func (l *Link) Call(ctx context.Context, to cluster.NodeName, path string, question, answer any) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	response, err := l.send(ctx, to, path, question)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("ask %s for %s: %w", to, path, err)
	case len(b) > maxBody:
		return fmt.Errorf("ask %s for %s: its answer is larger than %d bytes", to, path, maxBody)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("ask %s for %s: read its answer: %w", to, path, err)
	}
	return nil
}

// send puts the question and returns what begins well.
func (l *Link) send(ctx context.Context, to cluster.NodeName, path string, question any) (*http.Response, error) {
	client, ok := l.clients[to]
	if !ok {
		return nil, fmt.Errorf("ask %s for %s: it is no other node of this cluster", to, path)
	}
	body, err := json.Marshal(question)
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", to, path, err)
	}
	r, err := newRequest(ctx, to, path, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", to, path, err)
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", to, path, cause(err))
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	return nil, refusal(to, path, response)
}

func refusal(to cluster.NodeName, path string, response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
	why := trimmed(text)
	switch response.StatusCode {
	case http.StatusUnprocessableEntity:
		return Refusal{Node: to, Why: why}
	case http.StatusNotFound:
		return fmt.Errorf("ask %s for %s: its agent does not know that question; it runs another version", to, path)
	}
	return fmt.Errorf("ask %s for %s: %s: %s", to, path, response.Status, why)
}

// cause is what is behind the wrapping of package http, whose URLs mean nothing
// to people here.
func cause(err error) error {
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("it does not show a certificate of this cluster's authority: %w", unknown)
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
