package audit

import (
	"bufio"
	"errors"
	"io"
)

// longest is how much of one line is kept. A value can have a gigabyte; what is
// beyond is cut off, and said.
const longest = 8 << 20

// lines reads a text line by line, in bounded memory.
type lines struct {
	in   *bufio.Reader
	held []byte
	most int
}

func newLines(r io.Reader) *lines {
	return &lines{in: bufio.NewReaderSize(r, 256<<10), most: longest}
}

// next returns a line without its end, valid until the next call, and whether
// it was too long and is cut. After the last one it returns io.EOF.
func (l *lines) next() (line []byte, cut bool, err error) {
	l.held = l.held[:0]
	if cap(l.held) > 1<<20 {
		l.held = nil // after a giant, for the many small ones
	}
	for {
		part, err := l.in.ReadSlice('\n')
		if err == nil && len(l.held) == 0 {
			return part[:len(part)-1], false, nil // the usual case: nothing is copied
		}
		if room := l.most - len(l.held); len(part) > room {
			part, cut = part[:max(room, 0)], true
		}
		l.held = append(l.held, part...)
		switch {
		case err == nil:
			if n := len(l.held); n > 0 && l.held[n-1] == '\n' {
				l.held = l.held[:n-1]
			}
			return l.held, cut, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.held) > 0:
			return l.held, cut, nil
		default:
			return nil, false, err
		}
	}
}
