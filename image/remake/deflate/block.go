package deflate

import "io"

// How many symbols a block has at most.
const (
	mostZlib = 16<<10 - 1
	mostGNU  = 32<<10 - 1
)

// symbol is a literal, or a match with its length less three.
type symbol struct {
	distance uint16 // 0: a literal
	value    uint8
}

// trees writes blocks: symbols by the codes that suit them.
type trees struct {
	out
	most    int
	symbols []symbol
	l, d, b tree
	builder builder
}

func (t *trees) init(w io.Writer, d Dialect) {
	t.out.w = w
	t.most = mostZlib
	if d == GNU {
		t.most = mostGNU
	}
	t.symbols = make([]symbol, 0, t.most)
	t.l.fixed, t.l.extra, t.l.base, t.l.symbols, t.l.limit = fixedL, extraLength[:], literals+1, lCodes, maxBits
	t.d.fixed, t.d.extra, t.d.symbols, t.d.limit = fixedD, extraDistance[:], dCodes, maxBits
	t.b.extra, t.b.symbols, t.b.limit = extraBL[:], blCodes, maxBLBits
	t.begin()
}

func (t *trees) begin() {
	t.l.clear()
	t.d.clear()
	t.b.clear()
	t.l.nodes[endOfBlock].freq = 1
	t.symbols = t.symbols[:0]
}

// add notes a symbol and tells whether the block is full.
func (t *trees) add(distance, value int) bool {
	t.symbols = append(t.symbols, symbol{uint16(distance), uint8(value)}) //nolint:gosec // within the window, a byte
	if distance == 0 {
		t.l.nodes[value].freq++
	} else {
		t.l.nodes[int(lengthCode[value])+literals+1].freq++
		t.d.nodes[distanceCode[distance-1]].freq++
	}
	return len(t.symbols) == t.most
}

// pays tells whether what a block has so far, of so many bytes, is small enough that
// another one should begin, as GNU gzip guesses.
func (t *trees) pays(bytes int) bool {
	bits, matches := len(t.symbols)*8, 0
	for code := range dCodes {
		f := int(t.d.nodes[code].freq)
		matches += f
		bits += f * (5 + int(extraDistance[code]))
	}
	return matches < len(t.symbols)/2 && bits/8 < bytes/2
}

// writeBlock ends a block of size bytes, which are raw unless they are not known any
// more, in the form that is shortest.
func (t *trees) writeBlock(raw []byte, size int, last bool) {
	ownL, fixedL := t.builder.build(&t.l)
	ownD, fixedD := t.builder.build(&t.d)
	lengths, bitsB := t.buildLengths()
	own, fixed := (ownL+ownD+bitsB+3+7)/8, (fixedL+fixedD+3+7)/8
	end := uint(0)
	if last {
		end = 1
	}
	switch {
	case size+4 <= min(own, fixed) && raw != nil:
		t.bits(end, 3)
		t.align()
		t.short(size)
		t.short(^size)
		t.raw(raw)
	case fixed <= own:
		t.bits(1<<1+end, 3)
		t.writeSymbols(t.l.fixed, t.d.fixed)
	default:
		t.bits(2<<1+end, 3)
		t.writeTrees(lengths)
		t.writeSymbols(t.l.nodes[:], t.d.nodes[:])
	}
	t.begin()
	if last {
		t.align()
	}
}

func (t *trees) writeSymbols(l, d []node) {
	for _, s := range t.symbols {
		if s.distance == 0 {
			t.node(l[s.value])
			continue
		}
		code := lengthCode[s.value]
		t.node(l[int(code)+literals+1])
		t.bits(uint(int(s.value)-baseLength[code]), extraLength[code]) //nolint:gosec // not negative
		distance := int(s.distance) - 1
		code = distanceCode[distance]
		t.node(d[code])
		t.bits(uint(distance-baseDistance[code]), extraDistance[code]) //nolint:gosec // not negative
	}
	t.node(l[endOfBlock])
}

func (t *trees) node(n node) { t.bits(uint(n.code), n.bits) }

// runs goes through the lengths of a tree's codes as they are written: each as a
// symbol of the third tree, with the value of its extra bits.
func runs(t *tree, emit func(symbol int, extra uint)) {
	prev, count := -1, 0
	for n := 0; n <= t.last; n++ {
		cur, next := int(t.nodes[n].bits), -1
		if n < t.last {
			next = int(t.nodes[n+1].bits)
		}
		most, least := 7, 4 // one of them is written in full
		switch {
		case cur == 0:
			most, least = 138, 3
		case cur == prev:
			most, least = 6, 3
		}
		if count++; count < most && cur == next {
			continue
		}
		switch {
		case count < least:
			for range count {
				emit(cur, 0)
			}
		case cur != 0:
			if cur != prev {
				emit(cur, 0)
				count--
			}
			emit(16, uint(count-3)) //nolint:gosec // not negative
		case count <= 10:
			emit(17, uint(count-3)) //nolint:gosec // not negative
		default:
			emit(18, uint(count-11)) //nolint:gosec // not negative
		}
		prev, count = cur, 0
	}
}

// buildLengths makes the tree of the code lengths; it tells how many of it are
// written, and the bits for all of that.
func (t *trees) buildLengths() (n, bits int) {
	for _, of := range []*tree{&t.l, &t.d} {
		runs(of, func(symbol int, _ uint) { t.b.nodes[symbol].freq++ })
	}
	bits, _ = t.builder.build(&t.b)
	n = blCodes
	for n > 4 && t.b.nodes[orderBL[n-1]].bits == 0 {
		n--
	}
	return n, bits + 3*n + 5 + 5 + 4
}

func (t *trees) writeTrees(lengths int) {
	t.bits(uint(t.l.last+1-257), 5) //nolint:gosec // the end of the block occurs
	t.bits(uint(t.d.last+1-1), 5)   //nolint:gosec // at least one
	t.bits(uint(lengths-4), 4)      //nolint:gosec // at least four
	for _, symbol := range orderBL[:lengths] {
		t.bits(uint(t.b.nodes[symbol].bits), 3)
	}
	for _, of := range []*tree{&t.l, &t.d} {
		runs(of, func(symbol int, extra uint) {
			t.node(t.b.nodes[symbol])
			t.bits(extra, extraBL[symbol])
		})
	}
}
