package deflate

import (
	"fmt"
	"io"
)

// Dialect is whose output a Writer makes.
type Dialect int

// The dialects.
const (
	Zlib Dialect = iota // zlib, with its usual memory level 8 and window of 32 KiB
	GNU                 // GNU gzip
)

const (
	windowSize = 32 << 10
	windowMask = windowSize - 1
	bufferSize = 2 * windowSize
	minMatch   = 3
	maxMatch   = 258
	// minLookahead is how much must be known ahead for a match of any length.
	minLookahead = maxMatch + minMatch + 1
	maxDist      = windowSize - minLookahead
	hashBits     = 15
	hashMask     = 1<<hashBits - 1
	hashShift    = 5
	tooFar       = 4096 // a match of three bytes from farther away costs more than it saves
)

// effort is how hard a level tries.
type effort struct {
	good  int // from this length on, only a quarter of the chain is looked at for a better one
	lazy  int // from this length on, no better one is looked for
	nice  int // from this length on, it is taken at once
	chain int // how many places are looked at
}

// efforts of the levels 1 to 9; the first three take any match at once.
var efforts = [10]effort{
	1: {4, 4, 8, 4}, 2: {4, 5, 16, 8}, 3: {4, 6, 32, 32},
	4: {4, 4, 16, 16}, 5: {8, 16, 32, 32}, 6: {8, 16, 128, 128},
	7: {8, 32, 128, 256}, 8: {32, 128, 258, 1024}, 9: {32, 258, 258, 4096},
}

// Writer compresses into a raw deflate stream. Close ends it.
type Writer struct {
	dialect Dialect
	level   int
	effort  effort

	window     [bufferSize + minMatch]byte // the last bytes are never filled
	head       [1 << hashBits]uint16       // the last place of each hash; 0: none
	prev       [windowSize]uint16          // the place before, of the same hash
	start      int                         // what is looked at, in window
	ahead      int                         // bytes from there that are known
	blockStart int                         // where the block begins; negative: no longer in window
	matchStart int
	matchLen   int
	prevLen    int
	available  bool // the byte before start is not written yet

	trees
}

// NewWriter makes a Writer of a dialect's level, 1 to 9.
func NewWriter(w io.Writer, d Dialect, level int) (*Writer, error) {
	if level < 1 || level > 9 {
		return nil, fmt.Errorf("deflate: level %d is not 1 to 9", level)
	}
	z := &Writer{dialect: d, level: level, effort: efforts[level], matchLen: minMatch - 1, prevLen: minMatch - 1}
	z.trees.init(w, d)
	return z, nil
}

// Write takes more data. Whatever pieces it comes in, the result is the same.
func (z *Writer) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if z.err != nil {
			return n, z.err
		}
		end := z.start + z.ahead
		if end == bufferSize {
			z.compress(false)
			z.slide()
			continue
		}
		m := copy(z.window[end:bufferSize], p[n:])
		z.ahead += m
		n += m
	}
	return n, z.err
}

// Close writes what is left and the end of the stream.
func (z *Writer) Close() error {
	z.compress(false)
	if z.start >= windowSize+maxDist {
		z.slide()
	}
	if z.dialect == GNU { // what is behind the end takes part in hashes
		clear(z.window[z.start+z.ahead:][:minMatch-1])
	}
	z.compress(true)
	if z.available {
		z.literal(z.window[z.start-1])
		z.available = false
	}
	z.endBlock(true)
	return z.flush()
}

// slide makes room for another half of the window.
func (z *Writer) slide() {
	copy(z.window[:windowSize], z.window[windowSize:bufferSize])
	z.matchStart -= windowSize
	z.start -= windowSize
	z.blockStart -= windowSize
	for _, table := range [][]uint16{z.head[:], z.prev[:]} {
		for i, at := range table {
			table[i] = max(at, windowSize) - windowSize
		}
	}
}

// compress goes on until too little is known ahead, or to the end.
func (z *Writer) compress(end bool) {
	enough := minLookahead
	if end {
		enough = 1
	}
	step := z.lazy
	if z.level <= 3 {
		step = z.fast
	}
	for z.ahead >= enough && z.err == nil {
		if end && z.dialect == Zlib && z.start >= windowSize+maxDist {
			z.slide()
		}
		step()
	}
}

// literal notes a byte that is no part of a match, and tells whether the block is
// to end.
func (z *Writer) literal(b byte) bool { return z.add(0, int(b)) || z.enough() }

// match notes a match, as literal does.
func (z *Writer) match(distance, length int) bool {
	return z.add(distance, length-minMatch) || z.enough()
}

// enough is GNU's guess whether the block is better ended.
func (z *Writer) enough() bool {
	return z.dialect == GNU && z.level > 2 && len(z.symbols)&0xfff == 0 && z.pays(z.start-z.blockStart)
}

// endBlock writes the symbols since the block's start.
func (z *Writer) endBlock(last bool) {
	var raw []byte
	size := z.start - z.blockStart
	if z.blockStart >= 0 {
		raw = z.window[z.blockStart:z.start]
	}
	z.writeBlock(raw, size, last)
	z.blockStart = z.start
}
