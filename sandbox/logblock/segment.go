package logblock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	suffix = ".blk"
	// PackedSuffix ends the name of a segment that was packed when it was
	// finished: what is in it, whoever packed it knows.
	PackedSuffix = ".blz"
)

// Packed is a packed segment that was opened: the bytes that it had before.
type Packed interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// segmentName gives segment seq's file name: eight decimal digits at least.
func segmentName(seq uint64) string { return fmt.Sprintf("%08d%s", seq, suffix) }

// segments lists the sequence numbers present in dir, ascending, packed or not.
// A missing dir has none.
func segments(dir string) ([]uint64, error) {
	names, err := list(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("log %s: %w", dir, err)
	}
	var seqs []uint64
	for _, name := range names {
		if digits, ok := strings.CutSuffix(name, PackedSuffix); ok {
			name = digits + suffix
		}
		digits, ok := strings.CutSuffix(name, suffix)
		seq, err := strconv.ParseUint(digits, 10, 63)
		if ok && err == nil && segmentName(seq) == name {
			i := len(seqs) // there are few
			for i > 0 && seqs[i-1] > seq {
				i--
			}
			seqs = append(seqs, 0) // slices.Insert is a kilobyte of berth-sandbox
			copy(seqs[i+1:], seqs[i:])
			seqs[i] = seq
		}
	}
	return slices.Compact(seqs), nil
}

// list returns the names in dir. They are sorted as numbers later.
func list(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// removeSegment removes segment seq in whatever form. One that somebody else
// removed is as good as removed.
func removeSegment(dir string, seq uint64) {
	name := filepath.Join(dir, segmentName(seq))
	_ = os.Remove(name)
	_ = os.Remove(strings.TrimSuffix(name, suffix) + PackedSuffix)
}

// A segment is one open file of a log.
type segment struct {
	f       Packed // also one that is not packed
	seq     uint64
	head    int64 // where the first frame begins
	created int64 // ns
}

// plain is a segment as it was written.
type plain struct{ *os.File }

// Size of the file as it is now; 0 if that cannot be told.
func (p plain) Size() int64 {
	st, err := p.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}

// openSegment opens segment seq for reading. The error is fs.ErrNotExist when
// it was rotated away, errFormat when it is no segment (yet).
func openSegment(dir string, seq uint64, unpack func(string) (Packed, error)) (*segment, error) {
	var f Packed
	file, err := os.Open(filepath.Join(dir, segmentName(seq)))
	f = plain{file}
	if errors.Is(err, fs.ErrNotExist) && unpack != nil {
		f, err = unpack(filepath.Join(dir, strings.TrimSuffix(segmentName(seq), suffix)+PackedSuffix))
	}
	if err != nil {
		return nil, err
	}
	var b [segmentHead]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	head, created, ok := parseSegment(b[:n])
	if !ok {
		return nil, errors.Join(errFormat, f.Close())
	}
	return &segment{f: f, seq: seq, head: head, created: created}, nil
}

var errFormat = errors.New("not a log segment of a known version")

// unreadable tells whether err is why a segment is to be passed over.
func unreadable(err error) bool {
	return errors.Is(err, errFormat) || errors.Is(err, fs.ErrNotExist)
}

func (s *segment) size() int64 { return s.f.Size() }

// frameAt decodes the frame at off. buf is grown as needed and returned.
func (s *segment) frameAt(off int64, buf []byte) (frame, []byte, bool) {
	var head [HeaderSize]byte
	if n, _ := s.f.ReadAt(head[:], off); n < HeaderSize {
		return frame{}, buf, false
	}
	n := binary.LittleEndian.Uint32(head[4:])
	if n > MaxData {
		return frame{}, buf, false
	}
	buf = slices.Grow(buf[:0], int(n)+overhead)[:int(n)+overhead]
	if got, _ := s.f.ReadAt(buf, off); got < len(buf) {
		return frame{}, buf, false
	}
	f, ok := parseFrame(buf)
	return f, buf, ok
}

// frameBefore decodes the frame that ends at end, by its trailer.
func (s *segment) frameBefore(end int64, buf []byte) (f frame, off int64, _ []byte, ok bool) {
	var tail [TrailerSize]byte
	if end < s.head+overhead {
		return frame{}, 0, buf, false
	}
	if n, _ := s.f.ReadAt(tail[:], end-TrailerSize); n < TrailerSize {
		return frame{}, 0, buf, false
	}
	n := binary.LittleEndian.Uint32(tail[:])
	off = end - overhead - int64(n)
	if n > MaxData || off < s.head {
		return frame{}, 0, buf, false
	}
	f, buf, ok = s.frameAt(off, buf)
	return f, off, buf, ok && f.size() == end-off
}

// validEnd returns where the last whole frame ends at or before limit: limit
// itself in the common case, else found by reading forward.
func (s *segment) validEnd(limit int64) int64 {
	if limit <= s.head {
		return s.head
	}
	if _, _, _, ok := s.frameBefore(limit, nil); ok {
		return limit
	}
	end := s.head
	var buf []byte
	for {
		var f frame
		var ok bool
		f, buf, ok = s.frameAt(end, buf)
		if !ok || end+f.size() > limit {
			return end
		}
		end += f.size()
	}
}
