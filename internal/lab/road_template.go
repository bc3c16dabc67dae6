package lab

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// A file on the witness's host that its agent renders, and a program that has loaded it:
// what stands in the copy is what counts.

func templateRoad() Road {
	return Road{
		Name: "template", Help: "a file on the witness's host, rendered and loaded by a command",
		witness: true,
		endpoint: func(l *Lab) section {
			return section{"nodes": []string{witnessName}, "template": section{
				"file": l.rendered(), "source": l.path("secrets", "primary.tmpl"), "reload": []string{"cp", l.rendered(), l.rendered() + ".loaded"}}}
		},
		files: func(l *Lab) error {
			return writeFile(l.path("secrets", "primary.tmpl"), []byte(primaryTemplate), 0o600)
		},
		leads: func(_ context.Context, l *Lab) (string, error) {
			b, err := os.ReadFile(l.rendered() + ".loaded")
			if err != nil {
				return "", fmt.Errorf("read what was loaded: %w", err)
			}
			for line := range strings.Lines(string(b)) {
				if node, ok := strings.CutPrefix(strings.TrimSpace(line), "PRIMARY="); ok {
					return node, nil
				}
			}
			return "", fmt.Errorf("what was loaded names no primary: %q", b)
		},
		meddle: func(_ context.Context, l *Lab, to string) error {
			text := fmt.Appendf(nil, "PRIMARY=%s\n", to)
			return all(
				func() error { return writeFile(l.rendered(), text, 0o640) },
				func() error { return writeFile(l.rendered()+".loaded", text, 0o640) },
			)
		},
	}
}

const primaryTemplate = "# epoch {{.Epoch}}\nPRIMARY={{.Primary.Node}}\nADDRESS={{.Primary.HostPort}}\n"

func (l *Lab) rendered() string { return l.path(witnessName, "primary.env") }
