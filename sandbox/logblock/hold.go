package logblock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// holdFile in a log's directory names the first segment that its holder still
// needs. It counts while the holder has it locked (flock).
const holdFile = "hold"

// heldRetry is how often a writer looks whether it may go on.
const heldRetry = 20 * time.Millisecond

// A Hold keeps a writer from removing segments that are still to be read. The
// writer then waits, and so does the container. Whoever dies holds nothing.
type Hold struct{ f *os.File }

// NewHold holds everything in dir from segment seq on.
func NewHold(dir string, seq uint64) (*Hold, error) {
	f, err := os.OpenFile(filepath.Join(dir, holdFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("hold log: %w", err)
	}
	h := &Hold{f}
	if err := h.Set(seq); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("hold log: %w", errors.Join(os.NewSyscallError("flock", err), f.Close()))
	}
	return h, nil
}

// Set lets go of the segments before seq.
func (h *Hold) Set(seq uint64) error {
	// Of constant length: it is read while it is written.
	if _, err := h.f.WriteAt(fmt.Appendf(nil, "%020d\n", seq), 0); err != nil {
		return fmt.Errorf("hold log: %w", err)
	}
	return nil
}

// Close lets go of everything.
func (h *Hold) Close() error { return h.f.Close() }

// held tells whether somebody who lives needs segment seq.
func held(dir string, seq uint64) bool {
	f, err := os.Open(filepath.Join(dir, holdFile))
	if err != nil {
		return false
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return false // the lock ends with the descriptor
	}
	var b [32]byte
	n, _ := f.ReadAt(b[:], 0) // an error counts as the end
	first, err := strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 64)
	return err == nil && seq >= first
}

// await returns when seq may be removed, or when done is closed.
func await(dir string, seq uint64, done <-chan struct{}) {
	for held(dir, seq) {
		select {
		case <-done:
			return
		case <-time.After(heldRetry):
		}
	}
}

// Behind returns how many bytes of the log in dir stand behind p.
func Behind(dir string, p Position) (int64, error) {
	seqs, err := segments(dir)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, seq := range seqs {
		if seq < p.Segment {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, segmentName(seq)))
		if err != nil {
			continue // packed or gone: not the newest
		}
		if n += info.Size() - segmentHead; seq == p.Segment {
			n -= p.Offset - segmentHead
		}
	}
	return max(n, 0), nil
}

// End is the position behind everything that is there.
func End(dir string) (Position, error) {
	seqs, err := segments(dir)
	if err != nil || len(seqs) == 0 {
		return Position{}, err
	}
	seq := seqs[len(seqs)-1]
	s, err := openSegment(dir, seq, nil)
	if unreadable(err) {
		return Position{Segment: seq, Offset: segmentHead}, nil
	}
	if err != nil {
		return Position{}, fmt.Errorf("log: %w", err)
	}
	end := s.validEnd(s.size())
	return Position{Segment: seq, Offset: end}, s.f.Close()
}

// Finished lists the files of dir's log that never change again and are not
// packed.
func Finished(dir string) ([]string, error) {
	seqs, err := segments(dir)
	if err != nil || len(seqs) < 2 {
		return nil, err
	}
	var files []string
	for _, seq := range seqs[:len(seqs)-1] {
		file := filepath.Join(dir, segmentName(seq))
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		}
	}
	return files, nil
}
