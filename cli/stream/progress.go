package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/jsonstream"
)

// Progress shows the messages of a pull. On a terminal every layer has a line
// of its own that changes in place; otherwise each new status is one line, and
// bars are left out.
type Progress struct {
	Out  io.Writer
	Rows uint // of the terminal; 0: not a terminal
	Cols uint
	Now  func() time.Time // nil: time.Now

	lines map[string]uint // line of each ID in the current block
	count uint
}

// Terminal makes a Progress for w, which may be a terminal.
func Terminal(w io.Writer) *Progress {
	rows, cols := sizeOf(w)
	if _, ok := tty(w); ok && rows == 0 {
		rows, cols = 24, 80
	}
	return &Progress{Out: w, Rows: rows, Cols: cols}
}

// Show writes all messages. The error a message carries is returned as is.
func (p *Progress) Show(messages iter.Seq2[jsonstream.Message, error]) error {
	for m, err := range messages {
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != nil:
			return m.Error
		}
		if err := p.one(m); err != nil {
			return err
		}
	}
	return nil
}

func (p *Progress) one(m jsonstream.Message) error {
	if m.Aux != nil {
		return nil
	}
	if p.Rows == 0 {
		return p.plain(m)
	}
	if m.ID == "" || m.Progress == nil {
		p.lines, p.count = nil, 0
		return p.plain(m)
	}
	if p.lines == nil {
		p.lines = map[string]uint{}
	}
	line, known := p.lines[m.ID]
	if !known {
		line = p.count
		p.lines[m.ID] = line
		p.count++
		if _, err := io.WriteString(p.Out, "\n"); err != nil {
			return err
		}
	}
	up := p.count - line
	if up >= p.Rows {
		return nil // scrolled out of the window: the cursor cannot get there
	}
	text := m.ID + ": " + m.Status
	if bar := p.bar(m.Progress); bar != "" {
		text += " " + bar
	}
	_, err := fmt.Fprintf(p.Out, "\x1b[%dA\x1b[2K\r%s\r\x1b[%dB", up, p.fit(text), up)
	return err
}

// fit keeps a line from wrapping, which would shift all lines below.
func (p *Progress) fit(s string) string {
	if n := int(p.Cols); n > 0 && len(s) > n {
		return s[:n]
	}
	return s
}

func (p *Progress) plain(m jsonstream.Message) error {
	if m.Progress != nil && (m.Progress.Current > 0 || m.Progress.Total > 0) {
		return nil
	}
	if m.Stream != "" {
		_, err := io.WriteString(p.Out, m.Stream)
		return err
	}
	id := ""
	if m.ID != "" {
		id = m.ID + ": "
	}
	_, err := fmt.Fprintf(p.Out, "%s%s\n", id, m.Status)
	return err
}

// bar is "[====>    ] 1.2MB/4MB" in a wide window, the sizes alone otherwise.
func (p *Progress) bar(j *jsonstream.Progress) string {
	if j.Current <= 0 && j.Total <= 0 {
		return ""
	}
	if j.Total <= 0 {
		if j.Units != "" {
			return fmt.Sprintf("%d %s", j.Current, j.Units)
		}
		return fmt.Sprintf("%8v", units.HumanSize(float64(j.Current)))
	}
	half := min(int(float64(j.Current)/float64(j.Total)*100)/2, 50)
	var b strings.Builder
	if p.Cols > 110 {
		fmt.Fprintf(&b, "[%s>%s] ", strings.Repeat("=", half), strings.Repeat(" ", 50-half))
	}
	if !j.HideCounts {
		b.WriteString(counts(j))
	}
	if j.Current > 0 && j.Start > 0 && half < 50 && p.Cols > 50 {
		spent := p.now().Sub(time.Unix(j.Start, 0))
		left := time.Duration(float64(spent) / float64(j.Current) * float64(j.Total-j.Current))
		b.WriteString(" " + left.Round(time.Second).String())
	}
	return b.String()
}

func counts(j *jsonstream.Progress) string {
	over := j.Current > j.Total
	switch {
	case j.Units != "" && over:
		return fmt.Sprintf("%d %s", j.Current, j.Units)
	case j.Units != "":
		return fmt.Sprintf("%d/%d %s", j.Current, j.Total, j.Units)
	case over:
		return fmt.Sprintf("%8v", units.HumanSize(float64(j.Current)))
	}
	return fmt.Sprintf("%8v/%v", units.HumanSize(float64(j.Current)), units.HumanSize(float64(j.Total)))
}

func (p *Progress) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// Messages decodes a stream of messages. It ends with the stream's end, or after
// an error.
func Messages(r io.Reader) iter.Seq2[jsonstream.Message, error] {
	return func(yield func(jsonstream.Message, error) bool) {
		for d := json.NewDecoder(r); ; {
			var m jsonstream.Message
			err := d.Decode(&m)
			if errors.Is(err, io.EOF) || !yield(m, err) || err != nil {
				return
			}
		}
	}
}
