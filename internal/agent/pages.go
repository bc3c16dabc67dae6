package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// mostPages bounds a list of pages: 256 GiB of a buffer pool.
const mostPages = 16 << 20

// pages are pages of tables by the name of their tablespace. Each server has
// numbers of its own for the tablespaces; the pages in one are numbered alike where
// the data files are copies of each other.
type pages map[string][]uint32

var errManyPages = fmt.Errorf("more than %d pages are listed", mostPages)

// listedPages reads a server's own list: "tablespace,page" in each line. Only pages
// of tables count, for what else there is, every server has for itself.
func listedPages(r io.Reader, names map[uint32]string) (pages, error) {
	p := pages{}
	lines := bufio.NewScanner(r)
	for n := 0; lines.Scan(); n++ {
		space, page, ok := strings.Cut(lines.Text(), ",")
		number, err := strconv.ParseUint(space, 10, 32)
		in, perr := strconv.ParseUint(page, 10, 32)
		switch {
		case !ok, err != nil, perr != nil:
			return nil, fmt.Errorf("line %d of the server's list of pages is %q", n+1, lines.Text())
		case n >= mostPages:
			return nil, errManyPages
		}
		if name := names[uint32(number)]; strings.Contains(name, "/") {
			p[name] = append(p[name], uint32(in))
		}
	}
	return p, lines.Err()
}

// send writes pages for another node: a line with "=" and the name of a tablespace,
// then a line for each page of it.
func (p pages) send(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(out, "=%s\n", name)
		for _, page := range p[name] {
			fmt.Fprintln(out, page)
		}
	}
	return out.Flush() // the first error of all
}

// receivedPages reads what send wrote.
func receivedPages(r io.Reader) (pages, error) {
	p, name, n := pages{}, "", 0
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		line = strings.TrimSuffix(line, "\n")
		if rest, is := strings.CutPrefix(line, "="); is {
			name = rest
			continue
		}
		page, err := strconv.ParseUint(line, 10, 32)
		if n++; err != nil || name == "" {
			return nil, fmt.Errorf("%q is no page", line)
		}
		if n > mostPages {
			return nil, errManyPages
		}
		p[name] = append(p[name], uint32(page))
	}
}

// list writes pages as the own server reads them, by its own numbers. Tablespaces
// that it does not have are left out.
func (p pages) list(w io.Writer, names map[uint32]string) (n int, err error) {
	out := bufio.NewWriter(w)
	for _, space := range slices.Sorted(maps.Keys(names)) {
		for _, page := range p[names[space]] {
			fmt.Fprintf(out, "%d,%d\n", space, page)
			n++
		}
	}
	return n, out.Flush()
}
