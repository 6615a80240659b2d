package cli

import (
	"fmt"
	"io"
	"time"
)

// cpProgress counts what is copied and shows it on a terminal.
type cpProgress struct {
	s     *Session
	title string
	quiet bool
	r     io.Reader
	total int64
	shown time.Time
}

// redrawEvery is how often the count is drawn anew.
const redrawEvery = 75 * time.Millisecond

func (s *Session) progress(title string, quiet bool) *cpProgress {
	return &cpProgress{s: s, title: title, quiet: quiet}
}

// of counts what is read from r.
func (p *cpProgress) of(r io.Reader) io.Reader {
	p.r = r
	return p
}

func (p *cpProgress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.total += int64(n)
	if !p.quiet && p.s.IO.ErrTTY() && time.Since(p.shown) > redrawEvery {
		p.shown = time.Now()
		fmt.Fprintf(p.s.IO.Err, "\r%s%s\x1b[K", p.title, humanSize(p.total))
	}
	return n, err
}

// end says what was copied where to.
func (p *cpProgress) end(err error, destination string) {
	if p.quiet {
		return
	}
	if p.s.IO.ErrTTY() {
		fmt.Fprint(p.s.IO.Err, "\r\x1b[K")
	}
	if err == nil {
		fmt.Fprintf(p.s.IO.Err, "Successfully copied %s to %s\n", humanSize(p.total), destination)
	}
}
