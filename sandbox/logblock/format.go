package logblock

import (
	"encoding/binary"
	"hash/crc32"
	"sync"
	"time"
)

// Streams of a frame and of an Entry.
const (
	Stdout byte = 1
	Stderr byte = 2
)

const (
	// Version of the format that is written.
	Version = 1
	// HeaderSize bytes precede the data of a frame.
	HeaderSize = 20
	// TrailerSize bytes follow them.
	TrailerSize = 4
	// MaxData is the largest length of a frame's data.
	MaxData = 1 << 16

	magic       = "berthlog"
	segmentHead = 32
	sync0       = 0xb1
	sync1       = 0x0c
	overhead    = HeaderSize + TrailerSize
)

// Flags of a frame.
const (
	// FlagContinues: the stream was in the middle of a line when the frame
	// begins.
	FlagContinues byte = 1 << iota
	// FlagGap: output was lost before this frame (the disk was full).
	FlagGap
)

// castagnoli's tables take as long as a sixth of a program's start, and most
// processes of berth-sandbox never need them.
var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

// segmentHeader is the first bytes of segment number seq.
func segmentHeader(seq uint64, created time.Time) []byte {
	b := make([]byte, segmentHead)
	copy(b, magic)
	binary.LittleEndian.PutUint16(b[8:], Version)
	binary.LittleEndian.PutUint16(b[10:], segmentHead)
	binary.LittleEndian.PutUint64(b[16:], seq)
	binary.LittleEndian.PutUint64(b[24:], uint64(created.UnixNano()))
	return b
}

// parseSegment returns the length of the header and the time of creation;
// ok is false for anything but a segment of a version that we know.
func parseSegment(b []byte) (head int64, created int64, ok bool) {
	if len(b) < segmentHead || string(b[:8]) != magic || binary.LittleEndian.Uint16(b[8:]) != Version {
		return 0, 0, false
	}
	head = int64(binary.LittleEndian.Uint16(b[10:]))
	return head, int64(binary.LittleEndian.Uint64(b[24:])), head >= segmentHead
}

// A frame is one decoded frame; data points into the buffer it came from.
type frame struct {
	stream, flags byte
	time          int64 // ns since 1970
	data          []byte
}

func (f *frame) size() int64 { return int64(len(f.data)) + overhead }

// putFrame completes the frame whose n bytes of data are at buf[HeaderSize:].
func putFrame(buf []byte, stream, flags byte, ns int64, n int) []byte {
	buf = buf[:n+overhead]
	buf[0], buf[1], buf[2], buf[3] = sync0, sync1, stream, flags
	binary.LittleEndian.PutUint32(buf[4:], uint32(n))
	binary.LittleEndian.PutUint64(buf[8:], uint64(ns))
	crc := crc32.Update(0, castagnoli(), buf[:16])
	crc = crc32.Update(crc, castagnoli(), buf[HeaderSize:HeaderSize+n])
	binary.LittleEndian.PutUint32(buf[16:], crc)
	binary.LittleEndian.PutUint32(buf[HeaderSize+n:], uint32(n))
	return buf
}

// parseFrame decodes the frame at the start of b. ok is false if b does not
// hold one whole, undamaged frame.
func parseFrame(b []byte) (f frame, ok bool) {
	if len(b) < overhead || b[0] != sync0 || b[1] != sync1 {
		return frame{}, false
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if n > MaxData || len(b) < n+overhead || binary.LittleEndian.Uint32(b[HeaderSize+n:]) != uint32(n) {
		return frame{}, false
	}
	data := b[HeaderSize : HeaderSize+n : HeaderSize+n]
	crc := crc32.Update(0, castagnoli(), b[:16])
	if crc32.Update(crc, castagnoli(), data) != binary.LittleEndian.Uint32(b[16:]) {
		return frame{}, false
	}
	return frame{stream: b[2], flags: b[3], time: int64(binary.LittleEndian.Uint64(b[8:])), data: data}, true
}
