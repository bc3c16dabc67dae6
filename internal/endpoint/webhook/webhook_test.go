package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/webhook"
	"github.com/baton-db/baton/internal/render"
)

const secret = "k3y/of+ours"

// centre is a config centre: it keeps what is posted, and verifies who posts.
type centre struct {
	*httptest.Server
	mu     sync.Mutex
	value  string
	got    []string // every request that was accepted
	silent bool
	answer http.HandlerFunc // instead of everything else
}

func start(t *testing.T) *centre {
	c := &centre{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *centre) change(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
}

func (c *centre) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
	case c.silent:
		c.mu.Unlock()
		<-r.Context().Done()
		c.mu.Lock()
	case c.answer != nil:
		c.answer(w, r)
	case !genuine(r, body):
		http.Error(w, "this is not signed by somebody I know: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
	case r.Method == http.MethodGet && c.value == "":
		http.NotFound(w, r)
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(map[string]any{"code": 0, "data": []string{c.value}})
	default:
		c.got = append(c.got, fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"), body))
		c.value = string(body)
		fmt.Fprint(w, `{"code":0}`)
	}
}

func now() time.Time { return time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC) }

// genuine is the check that docs/endpoints/configuration-centres.md tells receivers to make, written anew.
func genuine(r *http.Request, body []byte) bool {
	at := r.Header.Get("X-Baton-Timestamp")
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s.%s", at, body)
	return at == "1795168800" && r.Header.Get("X-Baton-Signature") == "sha256="+hex.EncodeToString(mac.Sum(nil))
}

func options(c *centre) webhook.Options {
	return webhook.Options{
		Requests: []webhook.Request{{Method: http.MethodPost, URL: c.URL + "/config?cluster={{urlquery .Cluster}}", Body: "{{.Value}}", Expect: `"code":0`}},
		Headers:  []string{"content-type: application/json", "Authorization: Bearer {{secret}}"},
		Observe:  webhook.Look{URL: c.URL + "/config?cluster={{.Cluster}}", JSON: "/data/0"},
		Secret:   secret, Sign: true, Cluster: "shop", Now: now,
		Servers: []render.Server{server("db1", "10.77.0.11"), server("db2", "10.77.0.12")},
	}
}

func server(node, address string) render.Server {
	return render.Server{Node: cluster.NodeName(node), Address: netip.MustParseAddr(address), Port: 3306}
}

func open(t *testing.T, o webhook.Options) *webhook.Endpoint {
	t.Helper()
	e, err := webhook.Open("app", o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func at(node string, epoch cluster.Epoch, address string) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: cluster.NodeName(node), Addresses: []netip.Addr{netip.MustParseAddr(address)}, Port: 3306}
}

func here() endpoint.Target { return at("db1", 7, "10.77.0.11") }

func TestAWebhookThatCanBeAskedBehavesAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		c := start(t)
		return endpointtest.Subject{
			Endpoint: open(t, options(c)), Again: func() endpoint.Endpoint { return open(t, options(c)) },
			Here: here(), There: at("db2", 7, "10.77.0.12"),
			Meddle:  func(context.Context) error { c.change(func() { c.value = "10.77.0.12:3306" }); return nil },
			Silence: func() { c.change(func() { c.silent = true }) },
		}
	})
}

func TestWhatIsSentIsWhatTheTemplatesSay(t *testing.T) {
	c := start(t)
	o := options(c)
	o.Requests[0].Body = `{"primary":"{{.Primary.HostPort}}","epoch":{{.Epoch}},"replicas":[{{range $i, $r := .Replicas}}{{if $i}},{{end}}{{json $r.Node}}{{end}}]}`
	o.Requests = append(o.Requests, webhook.Request{Method: http.MethodPut, URL: c.URL + "/publish", Body: "{{.Primary.Node}}"})
	o.Observe.JSON = ""
	o.Observe.Match = `"data":\["(.*)"\]`
	e := open(t, o)
	for range 2 { // the second time it leads there already
		if err := e.Set(t.Context(), here()); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		`POST /config?cluster=shop application/json {"primary":"10.77.0.11:3306","epoch":7,"replicas":["db2"]}`,
		`PUT /publish application/json db1`,
	}
	if diff := cmp.Diff(want, c.got); diff != "" {
		t.Error(diff)
	}
}

func TestWhereItLeadsIsReadFromTheAnswer(t *testing.T) {
	for value, want := range map[string]string{
		`{"cluster":"shop","epoch":6,"node":"db2","address":"10.77.0.12","port":3306}`: "db2",
		"db1":               "db1",
		"10.77.0.12":        "db2",
		"10.77.0.12:3306":   "db2",
		"":                  "nowhere",
		"10.77.0.12:3307":   `it names "10.77.0.12:3307", which is no node of this cluster`,
		"db7 " + secret:     `it names "db7 (secret)", which is no node`,
		`{"cluster":"crm"}`: `it names "{\"cluster\":\"crm\"}", which is no node`,
	} {
		c := start(t)
		c.value = value
		got, err := open(t, options(c)).Observe(t.Context())
		if err != nil {
			if !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", value, err)
			}
		} else if got.String() != want {
			t.Errorf("%s: leads to %s, want %s", value, got, want)
		}
	}
}

func TestAnAnswerWithoutWhatIsLookedForIsForeign(t *testing.T) {
	for name, look := range map[string]webhook.Look{
		"a pointer to nothing": {JSON: "/data/1"},
		"a pointer into text":  {JSON: "/data/0/x"},
		"no match":             {Match: `primary=(\S+)`},
	} {
		c := start(t)
		c.value = "db1"
		o := options(c)
		look.URL = o.Observe.URL
		o.Observe = look
		if _, err := open(t, o).Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhoCannotBeAskedSaysSoAndIsTold(t *testing.T) {
	c := start(t)
	o := options(c)
	o.Observe = webhook.Look{}
	e := open(t, o)
	for range 2 {
		if err := e.Set(t.Context(), here()); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrUnseen) {
			t.Errorf("it says where it leads, from memory: %v", err)
		}
	}
	if len(c.got) != 2 {
		t.Errorf("told %d times, want each time", len(c.got))
	}
	var old *endpoint.OldEpochError
	if err := e.Set(t.Context(), at("db2", 6, "10.77.0.12")); !errors.As(err, &old) || len(c.got) != 2 {
		t.Errorf("an older reign: %v, told %d times", err, len(c.got))
	}
}

func TestANewerReignThatIsSeenThereIsNotOverwritten(t *testing.T) {
	c := start(t)
	c.value = `{"cluster":"shop","epoch":9,"node":"db2"}`
	var old *endpoint.OldEpochError
	if err := open(t, options(c)).Set(t.Context(), here()); !errors.As(err, &old) || old.Known != 9 || len(c.got) != 0 {
		t.Errorf("epoch 7 where 9 stands: %v, sent %v", err, c.got)
	}
}

func TestWhatGoesWrongIsSaidAndShowsNoSecret(t *testing.T) {
	other := start(t)
	for name, tt := range map[string]struct {
		change func(*webhook.Options)
		answer http.HandlerFunc
		says   string
	}{
		"a wrong secret": {func(o *webhook.Options) { o.Secret = "wr0ng" }, nil,
			"answers 401 Unauthorized: this is not signed by somebody I know: Bearer (secret)"},
		"throttled": {nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
		}, "answers 429 Too Many Requests (not to be asked again for 3s)"},
		"broken": {nil, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of "+secret, 500) },
			"answers 500 Internal Server Error: out of (secret)"},
		"sent elsewhere": {nil, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusPermanentRedirect)
		}, "it leads to " + other.URL + ", which is not followed"},
		"refused with 200": {nil, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"code":403}`) },
			`the answer "{\"code\":403}" is not as expected ("code":0)`},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			c.answer = tt.answer
			o := options(c)
			if tt.change != nil {
				tt.change(&o)
			}
			err := open(t, o).Set(t.Context(), here())
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), o.Secret) {
				t.Errorf("got %v, want that it says %q", err, tt.says)
			}
		})
	}
	if len(other.got) != 0 {
		t.Errorf("the other host got %v", other.got)
	}
}

func TestWhatCannotBeReadIsRefusedAtOnce(t *testing.T) {
	for name, change := range map[string]func(*webhook.Options){
		"a template that does not parse":      func(o *webhook.Options) { o.Requests[0].Body = "{{.Value" },
		"a template with an unknown field":    func(o *webhook.Options) { o.Requests[0].URL += "{{.Prymary}}" },
		"a template that fails":               func(o *webhook.Options) { o.Requests[0].Body = "{{index .Replicas 9}}" },
		"an expression that does not compile": func(o *webhook.Options) { o.Requests[0].Expect = "(" },
		"a header without a name":             func(o *webhook.Options) { o.Headers = []string{"application/json"} },
		"an unknown function in a header":     func(o *webhook.Options) { o.Headers = []string{"A: {{env}}"} },
		"a look that does not compile":        func(o *webhook.Options) { o.Observe.Match = "(" },
	} {
		o := options(&centre{Server: &httptest.Server{URL: "http://127.0.0.1"}})
		change(&o)
		if _, err := webhook.Open("app", o); err == nil {
			t.Errorf("%s: nothing is said", name)
		}
	}
}
