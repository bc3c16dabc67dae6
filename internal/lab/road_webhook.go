package lab

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/baton-db/baton/internal/httpcall"
)

// A config centre that is told by signed HTTP requests, and tells whoever asks.

func webhookRoad() Road {
	r := Road{
		Name: "webhook", Help: "a config centre that takes signed HTTP requests, which applications ask",
		files: func(l *Lab) error { return writeFile(l.centreSecret(), []byte(l.Secrets.Probe+"\n"), 0o600) },
		endpoint: func(l *Lab) section {
			return section{"webhook": section{"url": l.centre(), "method": http.MethodPut, "body": "{{.Value}}", "secret_file": l.centreSecret(),
				"observe": section{"url": l.centre()}}}
		},
		leads: func(ctx context.Context, l *Lab) (string, error) {
			body, err := l.overHTTP(ctx, "cl", l.centre())
			if err != nil {
				return "", err
			}
			return l.nodeIn(body)
		},
		meddle: func(_ context.Context, l *Lab, to string) error {
			return writeFile(l.centreFile(), l.valueFor(to), 0o600)
		},
	}
	r.daemons = func(l *Lab) []daemon {
		return []daemon{{
			name: "centre", host: servicesName,
			args: []string{l.Binary, "lab", "centre", l.address(servicesName) + ":8080", l.centreFile(), l.centreSecret()},
			ready: func(ctx context.Context) error {
				_, err := l.overHTTP(ctx, servicesName, fmt.Sprintf("http://%s:8080/health", l.address(servicesName)))
				return err
			},
		}}
	}
	return r
}

func (l *Lab) centre() string       { return fmt.Sprintf("http://%s:8080/primary", l.address(servicesName)) }
func (l *Lab) centreFile() string   { return l.path(servicesName, "centre.json") }
func (l *Lab) centreSecret() string { return l.path("secrets", "centre.secret") }

// mostInCentre is how much a value may have, in bytes.
const mostInCentre = 64 << 10

// Centre is a config centre of one value, kept in a file. It believes only who knows the
// secret, and tells everybody.
func Centre(file, secret string) http.Handler {
	var mu sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /primary", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		b, err := os.ReadFile(file)
		if err != nil {
			http.Error(w, "there is no value yet", http.StatusNotFound)
			return
		}
		_, _ = w.Write(b)
	})
	mux.HandleFunc("PUT /primary", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostInCentre))
		want := httpcall.Signature(secret, r.Header.Get(httpcall.HeaderTime), body)
		if err == nil && !hmac.Equal([]byte(want), []byte(r.Header.Get(httpcall.HeaderSignature))) {
			err = errors.New("the signature is wrong")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if err := writeFile(file, body, 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}
