package deflate

const (
	lengthCodes = 29
	literals    = 256
	endOfBlock  = 256
	lCodes      = literals + 1 + lengthCodes
	dCodes      = 30
	blCodes     = 19
	heapSize    = 2*lCodes + 1
	maxBits     = 15
	maxBLBits   = 7
)

var (
	extraLength   = [lengthCodes]uint8{8: 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	extraDistance = [dCodes]uint8{4: 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
	extraBL       = [blCodes]uint8{16: 2, 3, 7}
	orderBL       = [blCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

var (
	baseLength   [lengthCodes]int
	baseDistance [dCodes]int
	lengthCode   [maxMatch - minMatch + 1]uint8
	distanceCode [windowSize]uint8
	fixedL       = fixedTree(lCodes+2, func(n int) uint8 {
		switch {
		case n < 144:
			return 8
		case n < 256:
			return 9
		case n < 280:
			return 7
		}
		return 8
	})
	fixedD = fixedTree(dCodes, func(int) uint8 { return 5 })
	_      = fillTables()
)

// fillTables is RFC 1951, 3.2.5.
func fillTables() bool {
	n := 0
	for code := range lengthCodes - 1 {
		baseLength[code] = n
		for range 1 << extraLength[code] {
			lengthCode[n] = uint8(code) //nolint:gosec // below 29
			n++
		}
	}
	lengthCode[maxMatch-minMatch] = lengthCodes - 1 // in place of the last of code 27
	baseLength[lengthCodes-1] = maxMatch - minMatch
	n = 0
	for code := range dCodes {
		baseDistance[code] = n
		for range 1 << extraDistance[code] {
			distanceCode[n] = uint8(code) //nolint:gosec // below 30
			n++
		}
	}
	return true
}

// node is a symbol of a tree, or what joins two.
type node struct {
	freq uint16
	code uint16
	dad  uint16
	bits uint8 // of the code; 0: not used
}

// fixedTree has the codes of RFC 1951, 3.2.6.
func fixedTree(n int, bits func(int) uint8) []node {
	tree := make([]node, n)
	for i := range tree {
		tree[i].bits = bits(i)
	}
	assign(tree)
	return tree
}

// tree is an alphabet with what has occurred of it.
type tree struct {
	nodes   [heapSize]node
	fixed   []node // nil: there is none
	extra   []uint8
	base    int // of extra
	symbols int
	limit   uint8 // bits of a code at most
	last    int   // the largest symbol that occurs
}

func (t *tree) clear() {
	for i := range t.symbols {
		t.nodes[i].freq = 0
	}
}

// builder makes the codes of a tree: the order in which equals are joined decides
// about them.
type builder struct {
	heap  [heapSize]int
	len   int
	max   int
	depth [heapSize]uint8
}

func (b *builder) smaller(t *tree, n, m int) bool {
	x, y := t.nodes[n].freq, t.nodes[m].freq
	return x < y || x == y && b.depth[n] <= b.depth[m]
}

// down restores the heap below k.
func (b *builder) down(t *tree, k int) {
	v := b.heap[k]
	for j := 2 * k; j <= b.len; j *= 2 {
		if j < b.len && b.smaller(t, b.heap[j+1], b.heap[j]) {
			j++
		}
		if b.smaller(t, v, b.heap[j]) {
			break
		}
		b.heap[k] = b.heap[j]
		k = j
	}
	b.heap[k] = v
}

// build makes the codes; it tells how many bits the symbols that occurred take by
// them, and how many by the fixed ones.
func (b *builder) build(t *tree) (own, fixed int) {
	b.len, b.max = 0, heapSize
	t.last = -1
	for n := range t.symbols {
		if t.nodes[n].freq == 0 {
			t.nodes[n].bits = 0
			continue
		}
		b.len++
		b.heap[b.len] = n
		t.last = n
		b.depth[n] = 0
	}
	for b.len < 2 { // the format wants two
		n := 0
		if t.last < 2 {
			t.last++
			n = t.last
		}
		b.len++
		b.heap[b.len] = n
		t.nodes[n].freq = 1
		b.depth[n] = 0
		own--
		if t.fixed != nil {
			fixed -= int(t.fixed[n].bits)
		}
	}
	for n := b.len / 2; n >= 1; n-- {
		b.down(t, n)
	}
	for next := t.symbols; ; next++ {
		n := b.heap[1]
		b.heap[1] = b.heap[b.len]
		b.len--
		b.down(t, 1)
		m := b.heap[1]
		b.max -= 2
		b.heap[b.max+1], b.heap[b.max] = n, m
		t.nodes[next].freq = t.nodes[n].freq + t.nodes[m].freq
		b.depth[next] = max(b.depth[n], b.depth[m]) + 1
		t.nodes[n].dad, t.nodes[m].dad = uint16(next), uint16(next) //nolint:gosec // below heapSize
		b.heap[1] = next
		b.down(t, 1)
		if b.len < 2 {
			break
		}
	}
	b.max--
	b.heap[b.max] = b.heap[1]
	own2, fixed2 := b.lengths(t)
	assign(t.nodes[:t.last+1])
	return own + own2, fixed + fixed2
}

// lengths gives each symbol the length of its code.
func (b *builder) lengths(t *tree) (own, fixed int) {
	var count [maxBits + 1]int
	overflow := 0
	t.nodes[b.heap[b.max]].bits = 0
	h := b.max + 1
	for ; h < heapSize; h++ {
		n := b.heap[h]
		bits := t.nodes[t.nodes[n].dad].bits + 1
		if bits > t.limit {
			bits = t.limit
			overflow++
		}
		t.nodes[n].bits = bits
		if n > t.last {
			continue
		}
		count[bits]++
		extra := 0
		if n >= t.base {
			extra = int(t.extra[n-t.base])
		}
		f := int(t.nodes[n].freq)
		own += f * (int(bits) + extra)
		if t.fixed != nil {
			fixed += f * (int(t.fixed[n].bits) + extra)
		}
	}
	if overflow == 0 {
		return own, fixed
	}
	for ; overflow > 0; overflow -= 2 {
		bits := t.limit - 1
		for count[bits] == 0 {
			bits--
		}
		count[bits]--
		count[bits+1] += 2
		count[t.limit]--
	}
	for bits := t.limit; bits != 0; bits-- {
		for n := count[bits]; n != 0; {
			h--
			m := b.heap[h]
			if m > t.last {
				continue
			}
			if t.nodes[m].bits != bits {
				own += (int(bits) - int(t.nodes[m].bits)) * int(t.nodes[m].freq)
				t.nodes[m].bits = bits
			}
			n--
		}
	}
	return own, fixed
}

// assign gives codes to lengths (RFC 1951, 3.2.2), their first bit lowest.
func assign(nodes []node) {
	var count, next [maxBits + 1]uint16
	for _, n := range nodes {
		count[n.bits]++
	}
	count[0] = 0
	for bits := 1; bits <= maxBits; bits++ {
		next[bits] = (next[bits-1] + count[bits-1]) << 1
	}
	for i, n := range nodes {
		if n.bits == 0 {
			continue
		}
		code, reversed := next[n.bits], uint16(0)
		next[n.bits]++
		for range n.bits {
			reversed = reversed<<1 | code&1
			code >>= 1
		}
		nodes[i].code = reversed
	}
}
