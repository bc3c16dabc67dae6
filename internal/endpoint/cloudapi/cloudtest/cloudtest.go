// Package cloudtest answers whether a request is signed as a cloud vendor wants it,
// and stands in for that vendor in tests: a local HTTP server that refuses what is
// not, and that can be made to throttle, to deny, to fail and to hang.
//
// It signs nothing with what it tests: it computes every signature by itself, from
// the request as it arrived. The rule: a request that the vendor would refuse for its
// signature is refused here, too.
package cloudtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The keys that a Server knows.
const (
	ID     = "AKIDbaton"
	Secret = "s3cr3t/of+the=keys"
)

// Answer is what a server says.
type Answer struct {
	Status int // 0: 200
	Header http.Header
	Body   string
}

// Server stands in for a vendor.
type Server struct {
	*httptest.Server
	mu      sync.Mutex
	silent  bool
	instead func(action string) *Answer
	asked   []string
	nonces  map[string]bool
}

// Vendor is how one is spoken with.
type Vendor struct {
	// Action is what a request asks for.
	Action func(r *http.Request, body []byte) string
	// Signed says what is wrong with a request's signature.
	Signed func(s *Server, r *http.Request, body []byte) error
	// Refuse is the answer to a request whose signature is wrong.
	Refuse func(why error) Answer
	// Answer is the answer to any other. It is called for one request at a time.
	Answer func(r *http.Request, body []byte) Answer
}

// Start starts a server that is stopped with the test.
func Start(t *testing.T, v Vendor) *Server {
	s := &Server{nonces: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.silent {
			s.mu.Unlock()
			<-r.Context().Done()
			return
		}
		a := s.answer(v, r, body)
		s.mu.Unlock()
		for name, values := range a.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(max(a.Status, http.StatusOK))
		io.WriteString(w, a.Body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *Server) answer(v Vendor, r *http.Request, body []byte) Answer {
	action := v.Action(r, body)
	s.asked = append(s.asked, action)
	if s.instead != nil {
		if a := s.instead(action); a != nil {
			return *a
		}
	}
	if err := v.Signed(s, r, body); err != nil {
		return v.Refuse(err)
	}
	return v.Answer(r, body)
}

// Change calls do while no request is answered.
func (s *Server) Change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// Silence makes the server answer no more.
func (s *Server) Silence() { s.Change(func() { s.silent = true }) }

// Instead gives other answers than the vendor's, for those actions for which it has
// one; nil: no more.
func (s *Server) Instead(answer func(action string) *Answer) {
	s.Change(func() { s.instead = answer })
}

// Asked returns what was asked for since it was last called.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// authorization is what that header says.
type authorization struct {
	scope     []string // of the credential, without the ID
	names     []string // of the signed headers
	signature string
}

func parse(r *http.Request, algorithm string) (authorization, error) {
	a := authorization{}
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" ")
	if !ok {
		return a, fmt.Errorf("the authorization is not by %s", algorithm)
	}
	parts := map[string]string{}
	for _, p := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		parts[name] = value
	}
	credential := strings.Split(parts["Credential"], "/")
	if credential[0] != ID {
		return a, errors.New("the key is not known")
	}
	a.scope, a.names, a.signature = credential[1:], strings.Split(parts["SignedHeaders"], ";"), parts["Signature"]
	if !slices.IsSorted(a.names) {
		return a, errors.New("the signed headers are not in order")
	}
	return a, nil
}

// digest is the hash of the request as all three vendors sign it.
func digest(r *http.Request, body []byte, names []string, lower bool) string {
	var text strings.Builder
	pairs := strings.FieldsFunc(r.URL.RawQuery, func(c rune) bool { return c == '&' })
	for i, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		pairs[i] = strict(name) + "=" + strict(value)
	}
	slices.Sort(pairs)
	fmt.Fprintf(&text, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), strings.Join(pairs, "&"))
	for _, name := range names {
		value := strings.TrimSpace(r.Header.Get(name))
		if name == "host" {
			value = r.Host
		}
		if lower {
			value = strings.ToLower(value)
		}
		fmt.Fprintf(&text, "%s:%s\n", name, value)
	}
	fmt.Fprintf(&text, "\n%s\n%s", strings.Join(names, ";"), sum(body))
	return sum([]byte(text.String()))
}

// strict is a part of a query, escaped as RFC 3986 has it whatever it came as.
func strict(part string) string {
	var text strings.Builder
	plain, err := url.QueryUnescape(part)
	if err != nil {
		return err.Error()
	}
	for _, b := range []byte(plain) {
		if b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("-_.~", b) >= 0 {
			text.WriteByte(b)
		} else {
			fmt.Fprintf(&text, "%%%02X", b)
		}
	}
	return text.String()
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func compare(a authorization, toSign string, key ...string) error {
	k := []byte(key[0])
	for _, text := range append(key[1:], toSign) {
		m := hmac.New(sha256.New, k)
		m.Write([]byte(text))
		k = m.Sum(nil)
	}
	if want := hex.EncodeToString(k); a.signature != want {
		return errors.New("the signature does not match")
	}
	return nil
}

func must(names []string, all ...string) error {
	for _, name := range all {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%s is not signed", name)
		}
	}
	return nil
}

func near(at time.Time, most time.Duration) error {
	if off := time.Since(at).Abs(); off > most {
		return fmt.Errorf("the time is off by %s", off)
	}
	return nil
}

// AWS says what is wrong with a signature for a service in a region.
func AWS(service, region string) func(*Server, *http.Request, []byte) error {
	return func(_ *Server, r *http.Request, body []byte) error {
		a, err := parse(r, "AWS4-HMAC-SHA256")
		if err != nil {
			return err
		}
		stamp := r.Header.Get("X-Amz-Date")
		at, err := time.Parse("20060102T150405Z", stamp)
		if err != nil {
			return err
		}
		if want := []string{stamp[:8], region, service, "aws4_request"}; !slices.Equal(a.scope, want) {
			return fmt.Errorf("the scope is %v, not %v", a.scope, want)
		}
		toSign := "AWS4-HMAC-SHA256\n" + stamp + "\n" + strings.Join(a.scope, "/") + "\n" + digest(r, body, a.names, false)
		return errors.Join(near(at, 15*time.Minute), must(a.names, "host", "x-amz-date"),
			compare(a, toSign, "AWS4"+Secret, a.scope[0], region, service, "aws4_request"))
	}
}

// Aliyun says what is wrong with a signature; no nonce comes twice.
func Aliyun(s *Server, r *http.Request, body []byte) error {
	a, err := parse(r, "ACS3-HMAC-SHA256")
	if err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, r.Header.Get("X-Acs-Date"))
	if err != nil {
		return err
	}
	for name := range r.Header {
		if name := strings.ToLower(name); strings.HasPrefix(name, "x-acs-") {
			err = errors.Join(err, must(a.names, name))
		}
	}
	nonce := r.Header.Get("X-Acs-Signature-Nonce")
	if nonce == "" || s.nonces[nonce] {
		err = errors.Join(err, errors.New("the nonce was there before"))
	}
	s.nonces[nonce] = true
	if r.Header.Get("X-Acs-Content-Sha256") != sum(body) {
		err = errors.Join(err, errors.New("the hash is not that of the body"))
	}
	return errors.Join(err, near(at, 15*time.Minute), must(a.names, "host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-content-sha256"),
		compare(a, "ACS3-HMAC-SHA256\n"+digest(r, body, a.names, false), Secret))
}

// Tencent says what is wrong with a signature for a service.
func Tencent(service string) func(*Server, *http.Request, []byte) error {
	return func(_ *Server, r *http.Request, body []byte) error {
		a, err := parse(r, "TC3-HMAC-SHA256")
		if err != nil {
			return err
		}
		stamp := r.Header.Get("X-Tc-Timestamp")
		seconds, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil {
			return err
		}
		at := time.Unix(seconds, 0)
		if want := []string{at.UTC().Format(time.DateOnly), service, "tc3_request"}; !slices.Equal(a.scope, want) {
			return fmt.Errorf("the scope is %v, not %v", a.scope, want)
		}
		toSign := "TC3-HMAC-SHA256\n" + stamp + "\n" + strings.Join(a.scope, "/") + "\n" + digest(r, body, a.names, true)
		return errors.Join(near(at, 5*time.Minute), must(a.names, "content-type", "host"),
			compare(a, toSign, "TC3"+Secret, a.scope[0], service, "tc3_request"))
	}
}
