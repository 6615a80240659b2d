package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/berth-engine/berth/sandbox/logblock"
)

// A packed segment is the segment in chunks, each compressed by itself with
// zstd, so that it can be read from anywhere. Behind the chunks stand the
// length of each (u32), their number (u32), the length of the segment (u64) and
// packMagic; all numbers are little-endian.
const (
	packChunk  = 256 << 10
	packMagic  = "berthlgz"
	packFooter = 4 + 8 + len(packMagic)
)

// coder is shared: a zstd coder is large. It is made when first needed.
var coder = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	// Neither fails with these options.
	enc, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	dec, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20))
	return enc, dec
})

// Pack compresses the segments of dir's log that are finished. Readers find
// them as before. The monitor may remove them meanwhile.
func Pack(dir string) error {
	files, err := logblock.Finished(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		errs = append(errs, packFile(file))
	}
	return errors.Join(errs...)
}

func packFile(file string) error {
	packed := strings.TrimSuffix(file, ".blk") + logblock.PackedSuffix
	err := writePacked(file, packed+".tmp")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // rotated away
	}
	if err != nil {
		return fmt.Errorf("pack log: %w", errors.Join(err, os.Remove(packed+".tmp")))
	}
	if err := os.Rename(packed+".tmp", packed); err != nil {
		return fmt.Errorf("pack log: %w", err)
	}
	if err := os.Remove(file); errors.Is(err, fs.ErrNotExist) {
		return os.Remove(packed) // it was rotated away while it was packed
	} else if err != nil {
		return fmt.Errorf("pack log: %w", err)
	}
	return nil
}

func writePacked(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	enc, _ := coder()
	var (
		footer  []byte
		total   uint64
		chunks  uint32
		raw     = make([]byte, packChunk)
		encoded []byte
	)
	for {
		n, err := io.ReadFull(in, raw)
		if n > 0 {
			encoded = enc.EncodeAll(raw[:n], encoded[:0])
			if _, err := out.Write(encoded); err != nil {
				return err
			}
			footer = binary.LittleEndian.AppendUint32(footer, uint32(len(encoded)))
			total += uint64(n)
			chunks++
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	footer = binary.LittleEndian.AppendUint32(footer, chunks)
	footer = binary.LittleEndian.AppendUint64(footer, total)
	_, err = out.Write(append(footer, packMagic...))
	return err
}

// packed is an open packed segment; one goroutine uses it.
type packed struct {
	*os.File
	size    int64
	offsets []int64 // where each chunk begins, and the last one ends
	at      int     // the chunk in data; -1: none
	data    []byte
	encoded []byte
}

var errPacked = errors.New("not a packed log segment")

// Unpack opens a packed segment.
func Unpack(path string) (logblock.Packed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p := &packed{File: f, at: -1}
	if err := p.readFooter(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return p, nil
}

func (p *packed) readFooter() error {
	info, err := p.Stat()
	if err != nil {
		return err
	}
	end := info.Size() - int64(packFooter)
	b := make([]byte, packFooter)
	if _, err := p.File.ReadAt(b, max(end, 0)); err != nil || string(b[12:]) != packMagic {
		return errPacked
	}
	chunks := int64(binary.LittleEndian.Uint32(b))
	p.size = int64(binary.LittleEndian.Uint64(b[4:]))
	index := end - 4*chunks
	if index < 0 || p.size < 0 || (p.size+packChunk-1)/packChunk != chunks {
		return errPacked
	}
	b = make([]byte, 4*chunks)
	if _, err := p.File.ReadAt(b, index); err != nil && len(b) > 0 {
		return errPacked
	}
	off := int64(0)
	p.offsets = append(p.offsets, 0)
	for i := range chunks {
		off += int64(binary.LittleEndian.Uint32(b[4*i:]))
		p.offsets = append(p.offsets, off)
	}
	if off != index {
		return errPacked
	}
	return nil
}

// Size is that of the segment before it was packed.
func (p *packed) Size() int64 { return p.size }

// ReadAt reads from the segment as it was before it was packed.
func (p *packed) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		if off >= p.size {
			return n, io.EOF
		}
		chunk := int(off / packChunk)
		if err := p.load(chunk); err != nil {
			return n, err
		}
		begin := off - int64(chunk)*packChunk
		if begin >= int64(len(p.data)) {
			return n, errPacked
		}
		m := copy(b[n:], p.data[begin:])
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

func (p *packed) load(chunk int) error {
	if p.at == chunk {
		return nil
	}
	length := p.offsets[chunk+1] - p.offsets[chunk]
	if length > 2*packChunk {
		return errPacked
	}
	if int64(cap(p.encoded)) < length {
		p.encoded = make([]byte, length)
	}
	p.encoded = p.encoded[:length]
	if _, err := p.File.ReadAt(p.encoded, p.offsets[chunk]); err != nil {
		return err
	}
	_, dec := coder()
	data, err := dec.DecodeAll(p.encoded, p.data[:0])
	if err != nil || len(data) > packChunk {
		p.at = -1
		return errPacked
	}
	p.at, p.data = chunk, data
	return nil
}
