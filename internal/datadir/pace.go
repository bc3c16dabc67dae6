package datadir

import (
	"context"
	"io"
	"time"
)

// Paced returns a writer that hands on to w no more than rate allows: bytes in a
// second, asked for again and again; 0 is no limit. A write ends early with ctx.
func Paced(ctx context.Context, w io.Writer, rate func() int64) io.Writer {
	return &paced{ctx: ctx, to: w, rate: rate}
}

type paced struct {
	ctx  context.Context // of the copy: an io.Writer is given none
	to   io.Writer
	rate func() int64
	next time.Time // when the next piece may go
}

// Write hands the bytes on in pieces of a quarter of a second, so that whoever
// reads never waits for long.
func (p *paced) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		rate := p.rate()
		piece := b
		if most := max(rate/4, 1); rate > 0 && int64(len(piece)) > most {
			piece = piece[:most]
		}
		if err := p.wait(rate > 0); err != nil {
			return n, err
		}
		done, err := p.to.Write(piece)
		n += done
		if err != nil {
			return n, err
		}
		if rate > 0 {
			p.next = p.next.Add(time.Duration(float64(done) / float64(rate) * float64(time.Second)))
		}
		b = b[done:]
	}
	return n, nil
}

// wait waits for the next piece's turn. Time in which nothing was written is not
// made up for.
func (p *paced) wait(limited bool) error {
	now := time.Now()
	if !limited || p.next.Before(now) {
		p.next = now
		return p.ctx.Err()
	}
	turn := time.NewTimer(p.next.Sub(now))
	defer turn.Stop()
	select {
	case <-turn.C:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}
