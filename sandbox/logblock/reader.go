package logblock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// ReadOptions choose what a Reader returns. The zero value is everything that
// is there now.
type ReadOptions struct {
	// Stdout, Stderr choose the streams; neither: both.
	Stdout, Stderr bool
	// Since leaves out lines whose first byte is older; Until those that are
	// younger, and ends the reader there. Zero: no bound.
	Since, Until time.Time
	// Tail: 0 everything; n > 0 the last n lines; negative: none of the lines
	// that are there now (of use with Follow).
	Tail int
	// Follow waits for more at the end until Done is closed (then what is left
	// is read and Next returns io.EOF), Until has passed, or the context given
	// to Next ends.
	Follow bool
	Done   <-chan struct{}
	// From goes on where another Reader's Position was; nil: at the beginning.
	// Since and Tail are not to be used with it.
	From *Position
	// Unpack opens a finished segment that was packed, the file at path. Nil:
	// such segments are passed over.
	Unpack func(path string) (Packed, error)
}

// A Position is a place between two entries of a log, from which another
// Reader can go on.
type Position struct {
	Segment uint64 `json:"segment"` // 0: the beginning
	Offset  int64  `json:"offset"`
	Skip    int    `json:"skip,omitempty"` // entries behind the offset that were handed out
}

// A Reader iterates over a log. One goroutine may use it at a time.
type Reader struct {
	dir          string
	o            ReadOptions
	since, until int64 // ns
	end          position
	bounded      bool // do not read behind end

	seg   *segment
	off   int64 // in seg, of the next frame
	buf   []byte
	held  int   // bytes of seg from off on that are in buf
	stuck int64 // off at which the last look found nothing whole

	cur   frame // being split into lines
	at    mark  // of cur
	asm   [Stderr + 1]assembler
	seen  [Stderr + 1]bool
	lost  bool // the lines that a stream is in at the start are not wanted
	given int  // entries handed out so far
	lines int  // lines handed out or skipped so far
	skip  int  // lines still to be skipped
	open  int  // unfinished lines met at the end
	ended bool // flush, then io.EOF
	final bool // Done was closed before the last look
	gone  bool // what was at From is not there any more
	watch *watch
}

// position of a frame in a log.
type position struct {
	seq uint64
	off int64
}

func (p position) before(q position) bool { return p.seq < q.seq || p.seq == q.seq && p.off < q.off }

// mark is a frame and how many entries had been handed out before it.
type mark struct {
	position
	given int
}

// Open reads the log in dir. A directory without a log, or none at all, is an
// empty log.
func Open(dir string, o ReadOptions) (*Reader, error) {
	r := newReader(dir, o)
	if err := r.start(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func newReader(dir string, o ReadOptions) *Reader {
	if !o.Stdout && !o.Stderr {
		o.Stdout, o.Stderr = true, true
	}
	r := &Reader{dir: dir, o: o, since: math.MinInt64, until: math.MaxInt64, bounded: !o.Follow}
	if !o.Since.IsZero() {
		r.since = o.Since.UnixNano()
	}
	if !o.Until.IsZero() {
		r.until = o.Until.UnixNano()
	}
	r.asm[Stdout].stream, r.asm[Stderr].stream = Stdout, Stderr
	return r
}

// Position is behind the entry that Next returned last. A line that has only
// begun is read again from there.
func (r *Reader) Position() Position {
	m := mark{given: r.given}
	if r.seg != nil {
		m.position = position{r.seg.seq, r.off}
	}
	if len(r.cur.data) > 0 {
		m = r.at
	}
	for i := range r.asm {
		if a := &r.asm[i]; a.inLine && a.from.before(m.position) {
			m = a.from
		}
	}
	return Position{m.seq, m.off, r.given - m.given}
}

// Lost tells that what stood at From was rotated away before it was read.
func (r *Reader) Lost() bool { return r.gone }

// Close frees the reader's descriptors.
func (r *Reader) Close() error {
	var err error
	if r.seg != nil {
		err = r.seg.f.Close()
		r.seg = nil
	}
	if r.watch != nil {
		err = errors.Join(err, r.watch.close())
		r.watch = nil
	}
	r.ended = true
	return err
}

// Next returns the next entry, io.EOF at the end, or the context's error. The
// entry's Line is valid until the next call.
func (r *Reader) Next(ctx context.Context) (Entry, error) {
	for {
		if e, ok := r.split(); ok {
			if r.given++; r.given <= 0 {
				continue // handed out before From
			}
			return e, nil
		}
		if r.ended {
			e, err := r.flush()
			if err == nil {
				r.given++
			}
			return e, err
		}
		if err := ctx.Err(); err != nil {
			return Entry{}, err
		}
		more, err := r.nextFrame()
		switch {
		case err != nil:
			return Entry{}, err
		case more:
		case !r.o.Follow || r.final:
			r.ended = true
		default:
			if err := r.wait(ctx); err != nil {
				return Entry{}, err
			}
		}
	}
}

// split takes lines from the current frame.
func (r *Reader) split() (Entry, bool) {
	if r.cur.stream == 0 {
		return Entry{}, false
	}
	a := &r.asm[r.cur.stream]
	if r.cur.flags&FlagContinues == 0 && a.inLine {
		if e := a.finish(); r.wanted(a) {
			return e, true
		}
	}
	if r.cur.flags&FlagContinues != 0 && !a.inLine {
		a.begin(r.cur.time)
		a.cont, a.drop, a.from = true, r.lost && !r.seen[a.stream], r.at
	}
	r.seen[a.stream] = true
	r.cur.flags |= FlagContinues // true of the rest of the frame
	for len(r.cur.data) > 0 {
		fresh := !a.inLine
		e, rest, ok := a.take(r.cur.data, r.cur.time)
		r.cur.data = rest
		if fresh {
			a.from = r.at
		}
		if ok && r.wanted(a) {
			if !a.inLine {
				r.cur.flags &^= FlagContinues
			}
			return e, true
		}
	}
	if r.cur.time > r.until && !r.within() {
		r.ended = true
	}
	r.cur = frame{}
	return Entry{}, false
}

// within tells whether a line is open that began before until.
func (r *Reader) within() bool {
	for i := range r.asm {
		if r.asm[i].inLine && r.asm[i].start <= r.until {
			return true
		}
	}
	return false
}

// wanted tells whether what a has ready is to be handed out, and counts lines.
func (r *Reader) wanted(a *assembler) bool {
	if a.drop || a.start < r.since || a.start > r.until {
		return false
	}
	if !a.handed {
		a.handed = true
		r.lines++
		if r.skip > 0 {
			r.skip--
			a.skip = true
		}
	}
	return !a.skip
}

// flush hands out the unfinished lines, then io.EOF.
func (r *Reader) flush() (Entry, error) {
	for i := range r.asm {
		a := &r.asm[i]
		if !a.inLine {
			continue
		}
		e := a.entry(a.buf, true)
		a.inLine = false
		counted := a.handed
		wanted := r.wanted(a)
		if wanted || a.skip {
			r.open++
		}
		if wanted && (len(e.Line) > 0 || !counted) {
			return e, nil
		}
	}
	return Entry{}, io.EOF
}

// nextFrame puts the next frame of a chosen stream into cur; false: there is
// none now.
func (r *Reader) nextFrame() (bool, error) {
	for {
		f, ok, err := r.readFrame()
		if err != nil || !ok {
			return false, err
		}
		if f.stream == Stdout && r.o.Stdout || f.stream == Stderr && r.o.Stderr {
			r.cur = f
			r.at = mark{position{r.seg.seq, r.off - f.size()}, r.given}
			return true, nil
		}
		if f.time > r.until && !r.within() {
			r.ended = true
			return false, nil
		}
	}
}

// readFrame reads the frame at the reader's position and steps behind it.
func (r *Reader) readFrame() (frame, bool, error) {
	for {
		if r.seg == nil {
			if more, err := r.nextSegment(0); err != nil || !more {
				return frame{}, false, err
			}
		}
		if r.bounded && (r.seg.seq > r.end.seq || r.seg.seq == r.end.seq && r.off >= r.end.off) {
			return frame{}, false, nil
		}
		if f, ok := r.parse(); ok {
			return f, true, nil
		}
		// Nothing whole here. The writer is done with a segment before it makes
		// the next, so look once more when there is a next one.
		later, err := segmentAfter(r.dir, r.seg.seq)
		if err != nil {
			return frame{}, false, err
		}
		r.held = 0
		if f, ok := r.parse(); ok {
			return f, true, nil
		}
		// A frame that is on its way is whole at the next look; one that is not
		// is damaged, and what was written behind it counts.
		if (later != 0 || r.bounded || r.final || r.stuck == r.off) && r.resync() {
			continue
		}
		r.stuck = r.off
		if later == 0 {
			return frame{}, false, nil
		}
		if more, err := r.nextSegment(later); err != nil || !more {
			return frame{}, false, err
		}
	}
}

// resync steps over damage, to the first of the frames that hang together up
// to the end of the segment; false: there are none. It steps over nothing if
// the frame at off has become whole since it was looked at.
func (r *Reader) resync() bool {
	end := r.seg.size()
	if r.bounded && r.seg.seq == r.end.seq {
		end = r.end.off
	}
	first := end
	var buf []byte
	for first > r.off {
		_, off, b, ok := r.seg.frameBefore(first, buf)
		buf = b
		if !ok || off < r.off {
			break
		}
		first = off
	}
	if first >= end || first < r.off {
		return false
	}
	r.off, r.held = first, 0
	return true
}

// parse decodes the frame at off from the buffer, filling it at need.
func (r *Reader) parse() (frame, bool) {
	if r.buf == nil {
		r.buf = make([]byte, 0, 2*(MaxData+overhead))
	}
	b := r.buf[len(r.buf)-r.held:]
	f, ok := parseFrame(b)
	if !ok {
		r.buf = r.buf[:cap(r.buf)]
		n, _ := r.seg.f.ReadAt(r.buf, r.off) // an error counts as the end
		r.buf = r.buf[:n]
		if f, ok = parseFrame(r.buf); !ok {
			r.held = 0
			return frame{}, false
		}
		r.held = n
	}
	r.held -= int(f.size())
	r.off += f.size()
	return f, true
}

// segmentAfter returns the first segment behind seq; 0: none.
func segmentAfter(dir string, seq uint64) (uint64, error) {
	seqs, err := segments(dir)
	if err != nil {
		return 0, err
	}
	for _, s := range seqs {
		if s > seq {
			return s, nil
		}
	}
	return 0, nil
}

// nextSegment opens segment seq (0: the first) or the first readable one
// behind it; false: there is none yet.
func (r *Reader) nextSegment(seq uint64) (bool, error) {
	if seq == 0 {
		first, err := segmentAfter(r.dir, 0)
		if err != nil || first == 0 {
			return false, err
		}
		seq = first
	}
	for {
		var later uint64
		s, err := openSegment(r.dir, seq, r.o.Unpack)
		if unreadable(err) {
			var lerr error
			if later, lerr = segmentAfter(r.dir, seq); lerr != nil || later == 0 {
				return false, lerr
			}
			// It may only have lacked its head; now that there is a next one,
			// it is as whole as it will be.
			s, err = openSegment(r.dir, seq, r.o.Unpack)
		}
		if err == nil {
			if r.seg != nil {
				_ = r.seg.f.Close() // only read
			}
			r.seg, r.off, r.held, r.stuck = s, s.head, 0, 0
			return true, nil
		}
		if !unreadable(err) {
			return false, fmt.Errorf("log: %w", err)
		}
		seq = later
	}
}
