package public_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/api/public"
)

// BenchmarkPrimary is what one check costs this agent: the answer alone, and with all
// of the server around it, on connections that stay and on one for each check.
func BenchmarkPrimary(b *testing.B) {
	b.Run("answer", func(b *testing.B) {
		h, r := primary().handler(), httptest.NewRequest("GET", "/primary", nil)
		w := &void{head: http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(w, r)
		}
	})
	b.Run("no", func(b *testing.B) {
		h, r := replica().handler(), httptest.NewRequest("GET", "/primary", nil)
		w := &void{head: http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(w, r)
		}
	})
	b.Run("connection kept", func(b *testing.B) {
		at := serve(b, primary())
		c := dial(b, at)
		defer c.Close()
		in := bufio.NewReader(c)
		b.ReportAllocs()
		for b.Loop() {
			check(b, c, in, "GET /primary HTTP/1.1\r\nHost: db1\r\n\r\n")
		}
	})
	b.Run("as HAProxy asks", func(b *testing.B) {
		at := serve(b, primary())
		b.ReportAllocs()
		for b.Loop() {
			c := dial(b, at)
			check(b, c, bufio.NewReader(c), "OPTIONS /primary HTTP/1.0\r\n\r\n")
			_ = c.Close()
		}
	})
}

func BenchmarkMetrics(b *testing.B) {
	n, shop := primary(), apitest.Shop()
	n.snapshot = &shop
	h, r := n.handler(), httptest.NewRequest("GET", "/metrics", nil)
	w := &void{head: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

// void takes an answer.
type void struct{ head http.Header }

func (v *void) Header() http.Header         { return v.head }
func (v *void) Write(b []byte) (int, error) { return len(b), nil }
func (v *void) WriteHeader(int)             {}

func serve(b *testing.B, n *node) (at string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- public.Serve(ctx, l, nil, n.handler(), slog.New(slog.DiscardHandler)) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String()
}

func dial(b *testing.B, at string) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func check(b *testing.B, c io.Writer, in *bufio.Reader, question string) {
	b.Helper()
	if _, err := io.WriteString(c, question); err != nil {
		b.Fatal(err)
	}
	r, err := http.ReadResponse(in, nil)
	if err != nil || r.StatusCode != 200 {
		b.Fatalf("answered %v, %v", r, err)
	}
	_, _ = io.Copy(io.Discard, r.Body)
}
