package template_test

import (
	"errors"
	"os"
	"testing"
)

// dies leaves everything as it was while the check of a new content was running.
func (w *world) dies(t *testing.T) {
	t.Helper()
	good := w.o.Check
	w.o.Check = w.script("dies", `cp -a "`+w.dir+`/." "`+w.dir+`.then"; exit 1`)
	if err := w.open(t).Set(t.Context(), there()); err == nil {
		t.Fatal("the check did not fail")
	}
	then := w.dir + ".then"
	t.Cleanup(func() { os.RemoveAll(then) })
	err := errors.Join(os.RemoveAll(w.dir), os.Rename(then, w.dir))
	if err != nil {
		t.Fatal(err)
	}
	w.o.Check = good
}

func TestAnAgentThatDiesWithARefusedFileInPlaceHasNotForgottenWhatWasThere(t *testing.T) {
	w := begin(t)
	if err := w.open(t).Set(t.Context(), here()); err != nil {
		t.Fatal(err)
	}
	good := w.o.Text
	w.o.Text = "bad\n"
	w.dies(t)
	if got := w.read(t, "primary.conf"); got != "bad\n" {
		t.Fatalf("when it died this was in place: %s", got)
	}
	for range 2 {
		if err := w.open(t).Set(t.Context(), there()); err == nil {
			t.Fatal("it was not refused")
		}
		if got := w.read(t, "primary.conf"); got != hereText {
			t.Fatalf("what is back: %q", got)
		}
	}
	w.o.Text = good
	if err := w.open(t).Set(t.Context(), here()); err != nil || w.read(t, "primary.conf") != hereText {
		t.Errorf("%v: %s", err, w.read(t, "primary.conf"))
	}
}

func TestWhatSomebodyWroteAfterAnAgentDiedIsWhatWasThere(t *testing.T) {
	w := begin(t)
	if err := w.open(t).Set(t.Context(), here()); err != nil {
		t.Fatal(err)
	}
	w.o.Text = "bad\n"
	w.dies(t)
	const own = "primary 10.77.0.99:3306\n"
	if err := os.WriteFile(w.o.File, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.open(t).Set(t.Context(), there()); err == nil || w.read(t, "primary.conf") != own {
		t.Errorf("%v: %s", err, w.read(t, "primary.conf"))
	}
}

func TestAFirstFileThatIsRefusedIsTakenAwayByTheNextAgentToo(t *testing.T) {
	w := begin(t)
	w.o.Text = "bad\n"
	w.dies(t)
	if err := w.open(t).Set(t.Context(), there()); err == nil {
		t.Error("it was not refused")
	}
	if _, err := os.Stat(w.o.File); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}
