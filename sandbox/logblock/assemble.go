package logblock

import (
	"bytes"
	"time"
)

// maxPiece is the length at which a line is handed out in pieces.
const maxPiece = 16 << 10

// An Entry is one line, or a piece of a long one.
type Entry struct {
	// Time is when the first byte of the line was read from the container.
	Time   time.Time
	Stream byte
	// Line has no newline at its end. It is valid until the next call.
	Line []byte
	// Partial tells that no newline followed: a piece of a long line, or the
	// unfinished end of the log.
	Partial bool
	// Continued tells that this is not the first piece of its line (or that
	// the line's head was rotated away).
	Continued bool
}

// assembler puts the lines of one stream together.
type assembler struct {
	stream byte
	buf    []byte // piece of an unfinished line
	start  int64  // time of the line's first byte
	from   mark   // the frame in which the line begins
	inLine bool   // a line has begun and not ended
	cont   bool   // its head was handed out, or is lost
	drop   bool   // its head was never to be seen: leave it out
	handed bool   // its first piece was handed out or counted
	skip   bool   // counted, and not wanted (Tail)
}

// begin opens a line at t if none is open.
func (a *assembler) begin(t int64) {
	if !a.inLine {
		*a = assembler{stream: a.stream, buf: a.buf[:0], start: t, inLine: true}
	}
}

// take consumes the head of data up to the end of a line or of a piece. It
// returns an entry, or ok false when all was consumed and the line goes on.
func (a *assembler) take(data []byte, t int64) (e Entry, rest []byte, ok bool) {
	a.begin(t)
	if len(a.buf) == maxPiece { // a full piece, and now it is known that more follows
		if data[0] == '\n' {
			return a.finish(), data[1:], true
		}
		return a.piece(a.buf), data, true
	}
	room := maxPiece - len(a.buf)
	i := bytes.IndexByte(data[:min(len(data), room+1)], '\n')
	if i >= 0 {
		if len(a.buf) == 0 {
			e = a.entry(data[:i], false)
		} else {
			a.buf = append(a.buf, data[:i]...)
			e = a.entry(a.buf, false)
		}
		a.inLine = false
		return e, data[i+1:], true
	}
	n := min(len(data), room)
	a.buf = append(a.buf, data[:n]...)
	return Entry{}, data[n:], false
}

func (a *assembler) entry(line []byte, partial bool) Entry {
	return Entry{Time: time.Unix(0, a.start), Stream: a.stream, Line: line, Partial: partial, Continued: a.cont}
}

// piece hands out what is buffered; the line goes on.
func (a *assembler) piece(line []byte) Entry {
	e := a.entry(line, true)
	a.buf, a.cont = a.buf[:0], true
	return e
}

// finish ends the open line with what is buffered.
func (a *assembler) finish() Entry {
	e := a.entry(a.buf, false)
	a.inLine = false
	return e
}
