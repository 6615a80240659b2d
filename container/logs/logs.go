// Package logs renders a container's log the way the Engine API sends it: one
// line after the other, with time and details before it if they are wanted,
// in Docker's frames if the container has no terminal.
package logs

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/sandbox/logblock"
)

// timeFormat is RFC 3339 with nanoseconds of constant width, so that lines can
// be compared as text.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// Options select and dress lines.
type Options struct {
	Stdout, Stderr bool
	Timestamps     bool
	// Details, if not nil, are shown before each line.
	Details      map[string]string
	Since, Until time.Time // zero: no bound
	Tail         int       // the last n lines; negative: all
	Follow       bool
	// Done ends a Follow when it is closed and all is read.
	Done <-chan struct{}
	// Grep leaves out lines that it does not match. A line of more than 16 KiB is
	// taken by its first piece. Nil: all lines.
	Grep *regexp.Regexp
	// Framed writes Docker's 8-byte header before each line.
	Framed bool
}

// Copy writes the log in dir to w, until its end, or with Follow until Done is
// closed or ctx ends. The end of ctx is not an error.
func Copy(ctx context.Context, dir string, o Options, w io.Writer) (err error) {
	if !o.Stdout && !o.Stderr {
		return nil
	}
	ro := logblock.ReadOptions{
		Stdout: o.Stdout, Stderr: o.Stderr, Since: o.Since, Until: o.Until,
		Tail: o.Tail, Follow: o.Follow, Done: o.Done, Unpack: Unpack,
	}
	switch {
	case o.Tail < 0:
		ro.Tail = 0
	case o.Tail == 0:
		ro.Tail = -1
	}
	r, err := logblock.Open(dir, ro)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	p := printer{o: o, w: w, details: details(o.Details)}
	for {
		e, err := r.Next(ctx)
		switch {
		case errors.Is(err, io.EOF) || err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if !p.wanted(&e) {
			continue
		}
		if err := p.print(&e); err != nil {
			return err
		}
	}
}

type printer struct {
	o       Options
	w       io.Writer
	details string // "" or with a space at its end
	buf     []byte
	skip    [logblock.Stderr + 1]bool // the line that a stream is in does not match
}

// wanted tells whether an entry belongs to a line that matches.
func (p *printer) wanted(e *logblock.Entry) bool {
	if p.o.Grep == nil {
		return true
	}
	if !e.Continued {
		p.skip[e.Stream] = !p.o.Grep.Match(e.Line)
	}
	return !p.skip[e.Stream]
}

func (p *printer) print(e *logblock.Entry) error {
	p.buf = p.buf[:0]
	if p.o.Framed {
		p.buf = append(p.buf, e.Stream, 0, 0, 0, 0, 0, 0, 0)
	}
	head := len(p.buf)
	if !e.Continued {
		if p.o.Timestamps {
			p.buf = e.Time.UTC().AppendFormat(p.buf, timeFormat)
			p.buf = append(p.buf, ' ')
		}
		p.buf = append(p.buf, p.details...)
	}
	p.buf = append(p.buf, e.Line...)
	if !e.Partial {
		p.buf = append(p.buf, '\n')
	}
	if p.o.Framed {
		binary.BigEndian.PutUint32(p.buf[4:], uint32(len(p.buf)-head))
	}
	_, err := p.w.Write(p.buf)
	return err
}

// details spells attributes as Docker does: k=v,k=v, escaped, sorted. Without
// any there is still the space.
func details(attrs map[string]string) string {
	if attrs == nil {
		return ""
	}
	pairs := make([]string, 0, len(attrs))
	for k, v := range attrs {
		pairs = append(pairs, url.QueryEscape(k)+"="+url.QueryEscape(v))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",") + " "
}
