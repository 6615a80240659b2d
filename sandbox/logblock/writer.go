package logblock

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// WriterOptions bound a log.
type WriterOptions struct {
	// MaxSize is the size in bytes at which a new segment is begun. Default
	// 20 MB; never less than one frame.
	MaxSize int64
	// MaxFiles is how many segments are kept. Default 3.
	MaxFiles int
	// Done ends the waiting for a Hold. Nil: a Hold is waited for without end.
	Done <-chan struct{}
}

// A Writer appends to the log of one container. One goroutine may use it at a
// time, and only one Writer of a directory may exist.
type Writer struct {
	dir      string
	maxSize  int64
	maxFiles int
	done     <-chan struct{}

	f    *os.File // nil: nothing was logged yet, or no segment could be opened
	size int64
	seqs []uint64 // segments on disk, the last one is f's
	open [3]bool  // per stream: the last byte was not a newline
	gap  bool
}

// NewWriter opens the log in dir, which must exist, behind what is there. The
// torn end that a crash may have left is cut off. The first segment is made by the
// first Append: most containers that live for a moment say nothing.
func NewWriter(dir string, o WriterOptions) (*Writer, error) {
	w := &Writer{dir: dir, done: o.Done}
	w.Limit(o.MaxSize, o.MaxFiles)
	var err error
	if w.seqs, err = segments(dir); err != nil {
		return nil, err
	}
	if len(w.seqs) > 0 {
		err = w.resume()
	} else if _, missing := os.Stat(dir); missing != nil {
		err = fmt.Errorf("log: %w", missing)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

// State is what Continue needs to go on with the log in another process: the segment
// that is written to, nil if there is none, how far, and marks.
func (w *Writer) State() (f *os.File, size int64, marks int) {
	for i, open := range [...]bool{w.gap, w.open[Stdout], w.open[Stderr]} {
		if open {
			marks |= 1 << i
		}
	}
	return w.f, w.size, marks
}

// Continue is the Writer of dir whose State this is. It cannot fail, whatever became
// of the directory: there may be output to come.
func Continue(dir string, o WriterOptions, f *os.File, size int64, marks int) *Writer {
	w := &Writer{dir: dir, done: o.Done, f: f, size: size, gap: marks&1 != 0}
	w.open[Stdout], w.open[Stderr] = marks&2 != 0, marks&4 != 0
	w.Limit(o.MaxSize, o.MaxFiles)
	w.seqs, _ = segments(dir) // without, older ones stay
	return w
}

// Limit changes MaxSize and MaxFiles; what is too much goes when the next
// segment is begun.
func (w *Writer) Limit(maxSize int64, maxFiles int) {
	if w.maxSize = maxSize; maxSize <= 0 {
		w.maxSize = 20e6
	}
	if w.maxFiles = maxFiles; maxFiles <= 0 {
		w.maxFiles = 3
	}
}

// resume continues the newest segment if it is one that we can write, else it
// begins the next.
func (w *Writer) resume() error {
	if len(w.seqs) == 0 {
		return w.rotate()
	}
	seq := w.seqs[len(w.seqs)-1]
	s, err := openSegment(w.dir, seq, nil)
	if errors.Is(err, errFormat) {
		return w.rotate()
	}
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	end := s.validEnd(s.size())
	_ = s.f.Close() // only read
	f, err := os.OpenFile(filepath.Join(w.dir, segmentName(seq)), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if err := f.Truncate(end); err != nil {
		return errors.Join(fmt.Errorf("log: %w", err), f.Close())
	}
	w.f, w.size = f, end
	return nil
}

// rotate removes what would be too much and begins the next segment.
func (w *Writer) rotate() error {
	next := uint64(1)
	if n := len(w.seqs); n > 0 {
		next = w.seqs[n-1] + 1
	}
	for len(w.seqs) >= w.maxFiles {
		await(w.dir, w.seqs[0], w.done)
		removeSegment(w.dir, w.seqs[0])
		w.seqs = slices.Delete(w.seqs, 0, 1)
	}
	path := filepath.Join(w.dir, segmentName(next))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if _, err := f.Write(segmentHeader(next, time.Now())); err != nil {
		return fmt.Errorf("log: %w", errors.Join(err, f.Close(), os.Remove(path)))
	}
	if w.f != nil {
		_ = w.f.Close() // each write was checked
	}
	w.f, w.size, w.seqs = f, segmentHead, append(w.seqs, next)
	return nil
}

// Append logs the n bytes (at most MaxData) at buf[HeaderSize:], read from
// stream at t. buf has TrailerSize more bytes behind them; its head and tail
// are overwritten, so that one write call takes the frame as it stands. After
// an error nothing of the chunk is in the log, the next frame is marked by
// FlagGap, and the Writer stays usable.
func (w *Writer) Append(stream byte, t time.Time, buf []byte, n int) error {
	if n <= 0 || n > MaxData || len(buf) < n+overhead || stream < Stdout || stream > Stderr {
		return fmt.Errorf("log: chunk of %d bytes of stream %d: %w", n, stream, os.ErrInvalid)
	}
	data := buf[HeaderSize : HeaderSize+n]
	var flags byte
	if w.open[stream] {
		flags = FlagContinues
	}
	if i := bytes.LastIndexByte(data, '\n'); i >= 0 || !w.open[stream] {
		w.open[stream] = i < n-1
	}
	if w.gap {
		flags |= FlagGap
	}
	if w.f == nil {
		if err := w.resume(); err != nil {
			w.gap = true
			return err
		}
	}
	if w.size > segmentHead && w.size+int64(n)+overhead > w.maxSize {
		if err := w.rotate(); err != nil {
			w.gap = true
			return err
		}
	}
	if _, err := w.f.WriteAt(putFrame(buf, stream, flags, t.UnixNano(), n), w.size); err != nil {
		w.gap = true
		return fmt.Errorf("log: %w", errors.Join(err, w.f.Truncate(w.size)))
	}
	w.size += int64(n) + overhead
	w.gap = false
	return nil
}

// Close ends the writer. The log stays.
func (w *Writer) Close() error {
	if w.f == nil {
		return nil
	}
	f := w.f
	w.f = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}
