package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// question is one with what real ones have: numbers, names, sets, lists.
type question struct {
	Epoch  cluster.Epoch    `json:"epoch"`
	Holder cluster.NodeName `json:"holder"`
	Want   gtid.Set         `json:"want,omitzero"`
	Rows   []string         `json:"rows"`
	Length time.Duration    `json:"length"`
}

// FuzzQuestion: whatever another node sends, its question is answered or refused
// with a reason, and one that cannot be read reaches no handler.
func FuzzQuestion(f *testing.F) {
	whole, err := json.Marshal(question{Epoch: 7, Holder: "db1", Want: gtid.MustParse("0-1-5,0-2-9"), Rows: []string{"a"}, Length: time.Second})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("ask", "db2", whole)
	f.Add("stream", "db2", whole)
	f.Add("ask", "stranger", whole)
	for i := 0; i < len(whole); i += 7 {
		f.Add("ask", "db2", whole[:i])
		f.Add("stream", "db2", whole[i:])
	}
	f.Add("ask", "db2", []byte(`{"epoch":-1,"want":"0-1-99999999999999999999"}`))
	f.Add("ask", "db2", bytes.Repeat([]byte(`[`), 20000))
	f.Add("../ask", "db2", []byte("null"))
	at := netip.MustParseAddrPort("127.0.0.1:1")
	f.Fuzz(func(t *testing.T, path, from string, body []byte) {
		l := &Link{o: Options{Self: "db1", Quiet: time.Minute, Log: slog.New(slog.DiscardHandler), Nodes: map[cluster.NodeName]netip.AddrPort{"db1": at, "db2": at}}, mux: http.NewServeMux()}
		asked := 0
		l.Handle("ask", JSON(func(_ context.Context, who cluster.NodeName, q question) (question, error) {
			if asked++; who != "db2" {
				t.Errorf("%q was let in", who)
			}
			return q, nil
		}))
		l.HandleStream("stream", Ask(func(_ context.Context, who cluster.NodeName, q question, w io.Writer) error {
			if asked++; who != "db2" {
				t.Errorf("%q was let in", who)
			}
			_, err := io.WriteString(w, q.Want.String())
			return err
		}))
		r := httptest.NewRequest(http.MethodPost, "https://db1"+pathRoot+url.PathEscape(path), bytes.NewReader(body))
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: from}, DNSNames: []string{from}}}}}
		w := httptest.NewRecorder()
		l.mux.ServeHTTP(w, r)
		var q question
		readable := json.Unmarshal(body, &q) == nil
		switch w.Code {
		case http.StatusOK:
			if path == "ask" && (!readable || asked != 1) {
				t.Errorf("%q of %q was answered: %s", body, from, w.Body)
			}
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
			if asked != 0 { // of a path that is written in a longer way than it needs
				t.Errorf("%q of %q was sent elsewhere after a handler had it", body, from)
			}
		case http.StatusUnprocessableEntity, http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
			if asked != 0 || w.Body.Len() == 0 {
				t.Errorf("%q of %q: %d without a reason, or after a handler had it", body, from, w.Code)
			}
		default:
			t.Errorf("%q of %q: %d", body, from, w.Code)
		}
	})
}

// FuzzStream: whatever comes back instead of a stream, it counts as whole only if
// the checksum of what came in is the one that was sent after it.
func FuzzStream(f *testing.F) {
	sum := sha256.Sum256([]byte("rows"))
	f.Add([]byte("rows"), hex.EncodeToString(sum[:]), "")
	f.Add([]byte("row"), hex.EncodeToString(sum[:]), "")
	f.Add([]byte("rows"), "", "")
	f.Add([]byte("rows"), hex.EncodeToString(sum[:]), "the+disk+is+full%zz")
	f.Fuzz(func(t *testing.T, body []byte, said, failed string) {
		trailer := http.Header{}
		for name, value := range map[string]string{sumTrailer: said, errorTrailer: failed} {
			if value != "" {
				trailer.Set(name, value)
			}
		}
		late := time.AfterFunc(time.Hour, func() {})
		r := &reader{cancel: func(error) {}, gaveUp: func() bool { return false }, late: late, quiet: time.Hour, sum: sha256.New(), from: "db2", path: "p",
			response: &http.Response{Body: io.NopCloser(bytes.NewReader(body)), Trailer: trailer}}
		defer r.Close()
		got, err := io.ReadAll(r)
		is := sha256.Sum256(body)
		whole := failed == "" && said == hex.EncodeToString(is[:])
		if !bytes.Equal(got, body) || (err == nil) != whole {
			t.Errorf("%q with the sum %q and the error %q: %q, %v", body, said, failed, got, err)
		}
		var refused Refusal
		if failed != "" && !errors.As(err, &refused) {
			t.Errorf("the sender's error is %v", err)
		}
	})
}
