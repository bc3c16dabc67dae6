package core_test

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

func findings(t *testing.T, source string) []string {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "planted.go", "package planted\n"+source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return check(fset, file)
}

// Each of these planted sins must be found, once.
func TestTheCheckerFindsWhatIsPlanted(t *testing.T) {
	for name, tt := range map[string]struct{ source, want string }{
		"the clock":                    {`import "time"; func f() { _ = time.Now() }`, "uses time.Now"},
		"time that has passed":         {`import "time"; func f(t time.Time) { _ = time.Since(t) }`, "uses time.Since"},
		"time until":                   {`import "time"; func f(t time.Time) { _ = time.Until(t) }`, "uses time.Until"},
		"a timer by function":          {`import "time"; func f() { _ = time.After }`, "uses time.After"},
		"a ticker":                     {`import "time"; func f() { time.Tick(1) }`, "uses time.Tick"},
		"a timer":                      {`import "time"; func f() { time.NewTimer(1) }`, "uses time.NewTimer"},
		"sleep":                        {`import "time"; func f() { time.Sleep(1) }`, "uses time.Sleep"},
		"the clock under another name": {`import t "time"; var _ = t.Now`, "uses time.Now"},
		"the clock without its name":   {`import . "time"; var _ Duration`, "hides what is used"},
		"a goroutine":                  {`func f() { go f() }`, "starts a goroutine"},
		"a channel":                    {`type x chan int`, "has a channel"},
		"sending":                      {`func f(c X) { c <- 1 }`, "sends to a channel"},
		"receiving":                    {`func f(c X) { <-c }`, "receives from a channel"},
		"select":                       {`func f() { select {} }`, "waits for channels"},
		"locks":                        {`import "sync"`, "imports sync"},
		"atomics":                      {`import "sync/atomic"`, "imports sync/atomic"},
		"the system":                   {`import "os"`, "imports os"},
		"files":                        {`import "io/fs"`, "imports io/fs"},
		"the network":                  {`import "net"`, "imports net"},
		"logs":                         {`import "log"`, "imports log"},
		"structured logs":              {`import "log/slog"`, "imports log/slog"},
		"contexts":                     {`import "context"`, "imports context"},
		"unsafe memory":                {`import "unsafe"`, "imports unsafe"},
		"an edge":                      {`import "github.com/baton-db/baton/internal/db"`, "imports github.com/baton-db/baton/internal/db"},
		"a library":                    {`import "go.uber.org/zap"`, "imports go.uber.org/zap"},
		"an import for its effects":    {`import _ "strings"`, "hides what is used"},
		"printing":                     {`import "fmt"; func f() { fmt.Println() }`, "uses fmt.Println"},
		"printing in a format":         {`import "fmt"; func f() { fmt.Printf("") }`, "uses fmt.Printf"},
		"printing by the built-in":     {`func f() { println() }`, "prints"},
		"reading the terminal":         {`import "fmt"; func f() { fmt.Scanln() }`, "uses fmt.Scanln"},
		"the old random numbers":       {`import "math/rand"`, "imports math/rand,"},
		"global random numbers":        {`import "math/rand/v2"; func f() { rand.IntN(3) }`, "uses math/rand/v2.IntN"},
		"a variable of the package":    {`var count int`, "variable count"},
		"a table that can change":      {`var table = map[int]int{}`, "variable table"},
		"code that runs unasked":       {`func init() {}`, "func init"},
		"code from elsewhere":          {`func now() int64`, "has its body elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			got := findings(t, tt.source)
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("%s\ngave %q, want one finding with %q", tt.source, got, tt.want)
			}
		})
	}
}

func TestTheCheckerLeavesPureCodeAlone(t *testing.T) {
	for name, source := range map[string]string{
		"durations and times as values":    `import "time"; func f(t time.Time, d time.Duration) time.Time { return t.Add(d * time.Second) }`,
		"texts":                            `import "fmt"; func f() string { return fmt.Sprintf("%d", 1) }`,
		"random numbers from a given seed": `import "math/rand/v2"; func f(r *rand.Rand) int { return r.IntN(3) }`,
		"a variable named like a package":  `import "time"; func f(time clock) int { return time.Now() }; var _ = time.Second`,
		"errors to compare with":           `import "errors"; var ErrGone = errors.New("gone")`,
		"a method called init":             `func (x X) init() {}`,
		"another package of the core":      `import "github.com/baton-db/baton/internal/core/gtid"`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := findings(t, source); len(got) != 0 {
				t.Errorf("%s\ngave %q", source, got)
			}
		})
	}
}
