package remake

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	kflate "github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/berth-engine/berth/image/remake/deflate"
)

// Recipe says how a tar becomes a blob.
type Recipe struct {
	Kind  string `json:"kind"`            // one of the kinds below
	Level int    `json:"level,omitempty"` // of the compressor
	Head  []byte `json:"head,omitempty"`  // gzip's header as it was, with its times and names
}

// The kinds: what tools write layers with.
const (
	plain     = "plain"     // not compressed
	standard  = "go"        // Go's compress/flate: Docker, BuildKit, kaniko, ko
	klauspost = "klauspost" // github.com/klauspost/compress/flate
	parallel  = "pgzip"     // github.com/klauspost/pgzip: Berth, Podman, Buildah
	zstandard = "zstd"      // github.com/klauspost/compress/zstd
	zlib      = "zlib"      // zlib: Python, Java, Bazel, Git
	gnu       = "gnu"       // GNU gzip: tar -z, Debian's and Alpine's root file systems
)

// candidates lists how a blob that starts so may have been made, most likely first.
func candidates(start []byte) []Recipe {
	if bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		var list []Recipe
		for _, level := range []zstd.EncoderLevel{zstd.SpeedDefault, zstd.SpeedFastest, zstd.SpeedBetterCompression, zstd.SpeedBestCompression} {
			list = append(list, Recipe{Kind: zstandard, Level: int(level)})
		}
		return list
	}
	if !bytes.HasPrefix(start, []byte{0x1f, 0x8b}) {
		return []Recipe{{Kind: plain}}
	}
	n := headLength(start)
	if n == 0 {
		return nil
	}
	head := bytes.Clone(start[:n])
	var list []Recipe
	for _, level := range []int{-1, 9, 1} { // what tools offer: default, best, fast
		for _, kind := range []string{standard, parallel, klauspost} {
			list = append(list, Recipe{Kind: kind, Level: level, Head: head})
		}
	}
	for _, level := range []int{6, 9, 1, 5, 7, 8, 4, 3, 2} {
		for _, kind := range []string{zlib, gnu} {
			list = append(list, Recipe{Kind: kind, Level: level, Head: head})
		}
	}
	return list
}

// headLength is the length of gzip's header (RFC 1952), 0 if it is none or longer
// than what is there.
func headLength(b []byte) int {
	const hasCRC, hasExtra, hasName, hasComment, known = 2, 4, 8, 16, 31
	n := 10
	if len(b) < n || b[2] != 8 || b[3] > known {
		return 0
	}
	if b[3]&hasExtra != 0 {
		if len(b) < n+2 {
			return 0
		}
		n += 2 + int(binary.LittleEndian.Uint16(b[n:]))
	}
	for _, flag := range []byte{hasName, hasComment} {
		if b[3]&flag == 0 {
			continue
		}
		if n > len(b) {
			return 0
		}
		end := bytes.IndexByte(b[n:], 0)
		if end < 0 {
			return 0
		}
		n += end + 1
	}
	if b[3]&hasCRC != 0 {
		n += 2
	}
	if n > len(b) {
		return 0
	}
	return n
}

const (
	pgzipHead  = 10      // bytes of the header that pgzip writes, in place of which Head is written
	pgzipBlock = 1 << 20 // what it compresses at once, by default
)

// packer makes a writer that compresses into w. Close ends the blob.
func (r Recipe) packer(w io.Writer, procs int) (io.WriteCloser, error) {
	switch r.Kind {
	case plain:
		return asIs{w}, nil
	case zstandard:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevel(r.Level)), zstd.WithEncoderConcurrency(1))
	}
	if _, err := w.Write(r.Head); err != nil {
		return nil, err
	}
	switch r.Kind {
	case parallel:
		return newBlocks(w, r.Level, procs)
	case standard:
		f, err := flate.NewWriter(w, r.Level)
		return &member{WriteCloser: f, out: w, crc: crc32.NewIEEE()}, err
	case klauspost:
		f, err := kflate.NewWriter(w, r.Level)
		return &member{WriteCloser: f, out: w, crc: crc32.NewIEEE()}, err
	case zlib, gnu:
		dialect := deflate.Zlib
		if r.Kind == gnu {
			dialect = deflate.GNU
		}
		f, err := deflate.NewWriter(w, dialect, r.Level)
		return &member{WriteCloser: f, out: w, crc: crc32.NewIEEE()}, err
	}
	return nil, fmt.Errorf("record of a layer: unknown compressor %q", r.Kind)
}

type asIs struct{ io.Writer }

func (asIs) Close() error { return nil }

// skipping leaves out the first bytes.
type skipping struct {
	w    io.Writer
	left int
}

func (s *skipping) Write(p []byte) (int, error) {
	n := min(s.left, len(p))
	s.left -= n
	if n == len(p) {
		return n, nil
	}
	m, err := s.w.Write(p[n:])
	return n + m, err
}

// member is a gzip member: compressed data with the trailer at its end.
type member struct {
	io.WriteCloser
	out io.Writer
	crc hash.Hash32
	n   uint32 // of the data, modulo 2^32 as the format has it
}

func (m *member) Write(p []byte) (int, error) {
	n, err := m.WriteCloser.Write(p)
	m.crc.Write(p[:n])
	m.n += uint32(n)
	return n, err
}

func (m *member) Close() error {
	if err := m.WriteCloser.Close(); err != nil {
		return err
	}
	trailer := binary.LittleEndian.AppendUint32(nil, m.crc.Sum32())
	_, err := m.out.Write(binary.LittleEndian.AppendUint32(trailer, m.n))
	return err
}
