package httpcall_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/httpcall"
)

const secret = "tok/en+1"

func ask(t *testing.T, url string) ([]byte, error) {
	t.Helper()
	return httpcall.Client{}.Do(t.Context(), httpcall.Request{Method: http.MethodPost, URL: url + "/hook?access_token=tok%2Fen%2B1", Body: []byte("{}"), Hidden: []string{secret}})
}

// server answers with one handler, and counts what else is asked.
func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestAnswersThatAreNoneAreSaid(t *testing.T) {
	asked := 0
	other := server(t, func(http.ResponseWriter, *http.Request) { asked++ })
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		says   []string
		after  time.Duration
	}{
		"401": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the token "+secret+"\nis unknown, tok%2Fen%2B1", http.StatusUnauthorized)
		},
			[]string{"answers 401 Unauthorized: the token (secret) is unknown, (secret)"}, 0},
		"429": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}, []string{"429 Too Many Requests", "not to be asked again for 7s"}, 7 * time.Second},
		"429 with a date": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Fri, 20 Nov 2026 10:00:00 GMT")
			w.Header().Set("Retry-After", "Fri, 20 Nov 2026 10:00:30 GMT")
			w.WriteHeader(http.StatusTooManyRequests)
		}, []string{"for 30s"}, 30 * time.Second},
		"500 with a long page": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("ä", 5000), http.StatusInternalServerError)
		}, []string{"500 Internal Server Error: ä", "ä…"}, 0},
		"a redirect to another host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other, http.StatusTemporaryRedirect)
		}, []string{"307 Temporary Redirect: it leads to " + other + ", which is not followed"}, 0},
		"a redirect that would make a GET of it": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, []string{"302 Found: it leads to http://127.0.0.1:", "which is not followed"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, server(t, tt.answer))
			var status *httpcall.StatusError
			if !errors.As(err, &status) || status.RetryAfter() != tt.after {
				t.Fatalf("got %v, after %s", err, tt.after)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			if len(err.Error()) > 500 || strings.Contains(err.Error(), "en+1") || strings.Contains(err.Error(), "hook") {
				t.Errorf("it says too much: %s", err)
			}
		})
	}
	if asked != 0 {
		t.Errorf("the other host was asked %d times", asked)
	}
}

func TestTheSameRequestGoesToAnotherPathOfTheSameHost(t *testing.T) {
	at := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hook" {
			http.Redirect(w, r, "/moved", http.StatusPermanentRedirect)
			return
		}
		fmt.Fprint(w, r.Method, r.URL.Path, r.ContentLength)
	})
	if got, err := ask(t, at); err != nil || string(got) != "POST/moved2" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWhatCannotBeAskedShowsNoSecret(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, url := range []string{gone.URL, "ftp://x", "http://a b/", "http://[::1"} {
		if _, err := ask(t, url); err == nil || strings.Contains(err.Error(), "access_token") || strings.Contains(err.Error(), "en+1") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	at := server(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := (httpcall.Client{}).Do(ctx, httpcall.Request{Method: http.MethodGet, URL: at}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
