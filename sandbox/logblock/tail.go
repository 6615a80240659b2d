package logblock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// start chooses where to begin, without reading what is not wanted.
func (r *Reader) start() error {
	seqs, err := segments(r.dir)
	if err != nil || len(seqs) == 0 {
		return err
	}
	if err := r.findEnd(seqs); err != nil {
		return err
	}
	if r.o.From != nil && r.o.From.Segment != 0 {
		return r.resume(*r.o.From)
	}
	if r.o.Tail < 0 && !r.o.Follow {
		r.ended = true
		return nil
	}
	var pos position
	if r.o.Tail == 0 {
		pos, r.lost, err = r.firstSince(seqs)
	} else {
		pos, r.lost, err = r.walkBack(seqs)
	}
	if err != nil || pos.seq == 0 {
		return err
	}
	if err := r.seek(pos); err != nil {
		return err
	}
	if r.o.Tail != 0 {
		return r.count(pos)
	}
	return nil
}

// findEnd notes where the log ends now.
func (r *Reader) findEnd(seqs []uint64) error {
	r.end.seq = seqs[len(seqs)-1]
	s, err := openSegment(r.dir, r.end.seq, r.o.Unpack)
	if unreadable(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	r.end.off = s.size()
	return s.f.Close()
}

// resume goes on at p.
func (r *Reader) resume(p Position) error {
	if err := r.seek(position{p.Segment, p.Offset}); err != nil {
		return err
	}
	switch {
	case r.seg == nil:
	case r.seg.seq == p.Segment:
		r.given = -p.Skip
	default:
		r.gone = true
	}
	return nil
}

func (r *Reader) seek(pos position) error {
	if more, err := r.nextSegment(pos.seq); err != nil || !more {
		return err
	}
	if r.seg.seq == pos.seq && pos.off > r.off {
		r.off = pos.off
	}
	return nil
}

// firstSince skips the segments that were complete before since. lost tells
// that something was skipped.
func (r *Reader) firstSince(seqs []uint64) (pos position, lost bool, err error) {
	pos.seq = seqs[0]
	for _, seq := range seqs[1:] {
		if r.o.Since.IsZero() {
			break
		}
		s, err := openSegment(r.dir, seq, r.o.Unpack)
		if unreadable(err) {
			break
		}
		if err != nil {
			return pos, false, fmt.Errorf("log: %w", err)
		}
		if err := s.f.Close(); err != nil {
			return pos, false, fmt.Errorf("log: %w", err)
		}
		if s.created >= r.since {
			break
		}
		pos.seq, lost = seq, true
	}
	if r.o.Since.IsZero() {
		return pos, lost, nil
	}
	s, err := openSegment(r.dir, pos.seq, r.o.Unpack)
	if unreadable(err) {
		return pos, lost, nil
	}
	if err != nil {
		return pos, false, fmt.Errorf("log: %w", err)
	}
	pos.off = s.before(r.since)
	return pos, lost || pos.off > s.head, s.f.Close()
}

// walkBack goes back from the end, frame by frame, until enough lines begin
// behind it. Each stream may lose the head of one line there, hence two more.
func (r *Reader) walkBack(seqs []uint64) (pos position, lost bool, err error) {
	want, have := max(r.o.Tail, 0)+2, 0
	var buf []byte
	for _, seq := range slices.Backward(seqs) {
		s, err := openSegment(r.dir, seq, r.o.Unpack)
		if unreadable(err) {
			continue
		}
		if err != nil {
			return pos, false, fmt.Errorf("log: %w", err)
		}
		end := s.size()
		if seq == r.end.seq {
			end = r.end.off
		}
		enough := false
		end = s.validEnd(end)
		for !enough && end > s.head {
			f, off, b, ok := s.frameBefore(end, buf)
			buf = b
			if !ok {
				break
			}
			end = off
			if f.time <= r.until && (f.stream == Stdout && r.o.Stdout || f.stream == Stderr && r.o.Stderr) {
				have += bytes.Count(f.data, []byte{'\n'})
			}
			enough = have >= want || f.time < r.since
		}
		pos = position{seq, end}
		if err := s.f.Close(); err != nil {
			return pos, false, fmt.Errorf("log: %w", err)
		}
		if enough {
			return pos, true, nil
		}
	}
	return pos, false, nil
}

// count reads from pos to the end as it was when the reader was opened, to
// learn how many lines are too many.
func (r *Reader) count(pos position) error {
	o := r.o
	o.Tail, o.Follow, o.Done = 0, false, nil
	c := newReader(r.dir, o)
	c.end, c.lost = r.end, r.lost
	defer c.Close() // only read
	if err := c.seek(pos); err != nil {
		return err
	}
	for {
		_, err := c.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if r.o.Tail > 0 {
		r.skip = max(c.lines-r.o.Tail, 0)
	} else {
		r.skip = c.lines - c.open
	}
	return nil
}
