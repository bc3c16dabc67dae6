package internal_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/baton-db/baton/internal/config"
)

// TestLinksLeadToWhatThereIs follows every link from one page of ours to another, to its
// heading too: pages are split and headings reworded by people who do not know who links
// there.
func TestLinksLeadToWhatThereIs(t *testing.T) {
	followed := 0
	for _, page := range pages(t) {
		for _, link := range regexp.MustCompile(`\]\(([^)\s]*)\)`).FindAllStringSubmatch(prose(t, page), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			followed++
			file, heading, _ := strings.Cut(link[1], "#")
			target := filepath.Join(filepath.Dir(page), file)
			if file == "" {
				target = page
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", page, link[1])
				continue
			}
			if heading != "" && !anchors(t, target)[heading] {
				t.Errorf("%s: %s: there is no such heading", page, link[1])
			}
		}
	}
	if followed < 50 {
		t.Errorf("only %d links were found", followed)
	}
}

// TestEveryKindOfEndpointIsInTheTable keeps the first page about endpoints complete.
func TestEveryKindOfEndpointIsInTheTable(t *testing.T) {
	table := prose(t, "../docs/endpoints.md")
	for _, kind := range config.EndpointKinds() {
		if !strings.Contains(table, "`"+kind+"`") {
			t.Errorf("docs/endpoints.md has no row for %s", kind)
		}
	}
}

// TestPagesThatTheCodeNamesExist is for messages and comments that send their reader to a
// page.
func TestPagesThatTheCodeNamesExist(t *testing.T) {
	named := regexp.MustCompile(`docs/[a-z0-9/-]+\.md`)
	for _, root := range []string{"../internal", "../cmd", "../docs/examples", "../scripts"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, page := range named.FindAllString(string(text), -1) {
				if _, err := os.Stat("../" + page); err != nil {
					t.Errorf("%s names %s, which is not there", path, page)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// pages are all pages for people in this repository.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("../docs", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// prose is a page without its blocks of code, in which # and ] mean something else.
func prose(t *testing.T, page string) string {
	t.Helper()
	return regexp.MustCompile("(?ms)^ *```.*?^ *```").ReplaceAllString(read(t, page), "")
}

// anchors are the names under which a page's headings can be linked to, as GitHub makes
// them.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(prose(t, page), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, heading[1])
		if again := name; found[name] {
			for i := 1; found[again]; i++ {
				again = fmt.Sprintf("%s-%d", name, i)
			}
			name = again
		}
		found[name] = true
	}
	return found
}
