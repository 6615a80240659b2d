package remake

import (
	"io"
	"sync"

	"github.com/klauspost/pgzip"
)

// blocks is a pgzip writer that may be left in the middle. One that is told of a
// failed write keeps a goroutine for ever: it is not told.
type blocks struct {
	z    *pgzip.Writer
	sink *sink
}

// newBlocks compresses into w all but the header, by procs goroutines.
func newBlocks(w io.Writer, level, procs int) (io.WriteCloser, error) {
	b := &blocks{sink: &sink{w: &skipping{w: w, left: pgzipHead}}}
	var err error
	if b.z, err = pgzip.NewWriterLevel(b.sink, level); err != nil {
		return nil, err
	}
	return b, b.z.SetConcurrency(pgzipBlock, procs)
}

func (b *blocks) Write(p []byte) (int, error) {
	if err := b.sink.failed(); err != nil {
		return 0, err
	}
	return b.z.Write(p)
}

// Close ends the blob; the error is of any write before, too.
func (b *blocks) Close() error {
	if err := b.z.Close(); err != nil {
		return err
	}
	return b.sink.failed()
}

// sink takes everything, and remembers the first error. Compressing goroutines
// write to it.
type sink struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		_, s.err = s.w.Write(p)
	}
	return len(p), nil
}

func (s *sink) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
