package timeline

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
)

// golden compares with testdata/name; UPDATE_GOLDEN=1 writes it instead.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; UPDATE_GOLDEN=1 rewrites it):\n%s", name, diff)
	}
}

func TestWaterfalls(t *testing.T) {
	stories := map[string]Switch{
		"crash":     merged(t, crash(skewed()).parts()),
		"partition": merged(t, partition(skewed()).parts()),
	}
	for name, s := range stories {
		for variant, text := range map[string]Text{
			"plain": {},
			"wide":  {Width: 160, Unicode: true},
			"color": {Width: 100, Unicode: true, Color: true},
		} {
			t.Run(name+" "+variant, func(t *testing.T) {
				var b bytes.Buffer
				if err := text.Waterfall(&b, s); err != nil {
					t.Fatal(err)
				}
				golden(t, name+"."+variant+".txt", b.Bytes())
			})
		}
	}
}

func TestPlainWaterfallFitsAndIsPlain(t *testing.T) {
	for _, width := range []int{0, 60, 80, 132, 200} {
		var b bytes.Buffer
		if err := (Text{Width: width}).Waterfall(&b, merged(t, crash(skewed()).parts())); err != nil {
			t.Fatal(err)
		}
		limit := width
		if width == 0 {
			limit = 80
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if len(line) > limit {
				t.Errorf("at width %d this line has %d: %q", width, len(line), line)
			}
			for _, r := range line {
				if r < ' ' || r > '~' {
					t.Errorf("at width %d: %q is not plain text in %q", width, r, line)
				}
			}
		}
	}
}

func TestAWaterfallTellsWhereClientsWereSeenToBeLed(t *testing.T) {
	w := crash(skewed())
	w.step("db2", SeenFrom("db3"), 200, 203, OK, "10.77.0.10 answers with 02:00:0a:4d:00:0c, 0.1 ms; fd77::10 answers with 02:00:0a:4d:00:0c, 0.3 ms")
	w.step("db2", SeenFrom("w1"), 210, 220, Failed, "nobody answers for 10.77.0.10\x1b")
	w.step("db2", Endpoint("app"), 220, 240, OK, "")
	w.step("db2", Endpoint("proxy"), 230, 250, OK, "2 attempts, it finds db2 UP")
	var b bytes.Buffer
	if err := (Text{}).Waterfall(&b, merged(t, w.parts())); err != nil {
		t.Fatal(err)
	}
	want := `
where clients were led
  seen-from db3: 10.77.0.10 answers with 02:00:0a:4d:00:0c, 0.1 ms; fd77::10
                 answers with 02:00:0a:4d:00:0c, 0.3 ms
  seen-from w1: failed: nobody answers for 10.77.0.10
  endpoint proxy: 2 attempts, it finds db2 UP

`
	if !strings.Contains(b.String(), want) {
		t.Errorf("it lacks:%s\n%s", want, b.String())
	}
}

func TestList(t *testing.T) {
	parts := append(crash(skewed()).parts(), partition(skewed()).parts()...)
	var b bytes.Buffer
	if err := (Text{}).List(&b, Switches(parts)); err != nil {
		t.Fatal(err)
	}
	golden(t, "list.txt", b.Bytes())
}

func TestSVG(t *testing.T) {
	for name, w := range map[string]*world{"crash": crash(skewed()), "partition": partition(skewed())} {
		var b bytes.Buffer
		if err := SVG(&b, merged(t, w.parts())); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, b.Bytes())
		golden(t, name+".svg", b.Bytes())
	}
}

func TestSVGStaysWellFormedWhateverAServerSays(t *testing.T) {
	w := crash(skewed())
	w.step("db2", Step("<script>"), 200, 201, Failed, "</title>]]>&\x00\x1b\"'\xff")
	s := merged(t, w.parts())
	s.Reason, s.Detail = cluster.Reason("<&>"), "\ufffe<b>"
	var b bytes.Buffer
	if err := SVG(&b, s); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b.Bytes())
	if strings.Contains(b.String(), "<script>") {
		t.Error("a step's name became markup")
	}
}

// wellFormed reads the whole picture and wants one svg element with a bar.
func wellFormed(t *testing.T, b []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(b))
	elements := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, b)
		}
		if e, ok := token.(xml.StartElement); ok {
			elements[e.Name.Local]++
		}
	}
	if elements["svg"] != 1 || elements["rect"] == 0 || elements["script"] != 0 {
		t.Errorf("elements of the picture: %v", elements)
	}
}
