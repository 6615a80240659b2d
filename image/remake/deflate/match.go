package deflate

// insert notes the string at start and tells where the last one with its hash was;
// 0: nowhere.
func (z *Writer) insert(at int) int {
	w := z.window[at : at+minMatch]
	h := (uint(w[0])<<(2*hashShift) ^ uint(w[1])<<hashShift ^ uint(w[2])) & hashMask
	before := z.head[h]
	z.prev[at&windowMask] = before
	z.head[h] = uint16(at) //nolint:gosec // within the window
	return int(before)
}

// first is insert at start, if there is a string.
func (z *Writer) first() int {
	if z.ahead < minMatch && z.dialect != GNU {
		return 0
	}
	return z.insert(z.start)
}

// longest looks for the longest match of what is at start from a place on, longer
// than prevLen; it sets matchStart.
func (z *Writer) longest(at int) int {
	chain, best, nice := z.effort.chain, z.prevLen, z.effort.nice
	if z.prevLen >= z.effort.good {
		chain >>= 2
	}
	if z.dialect == Zlib && nice > z.ahead {
		nice = z.ahead
	}
	limit := max(z.start-maxDist, 0)
	scan := z.window[z.start:min(z.start+maxMatch, bufferSize)]
	for ; chain > 0; chain-- {
		match := z.window[at:]
		if match[best] == scan[best] && match[best-1] == scan[best-1] && match[0] == scan[0] && match[1] == scan[1] {
			n := 2
			for n < len(scan) && match[n] == scan[n] {
				n++
			}
			if n > best {
				z.matchStart, best = at, n
				if n >= nice || n >= len(scan) {
					break
				}
			}
		}
		if at = int(z.prev[at&windowMask]); at <= limit {
			break
		}
	}
	return min(best, z.ahead)
}

// near tells whether a place may be looked at.
func (z *Writer) near(at int) bool {
	return at != 0 && z.start-at <= maxDist && (z.dialect == Zlib || z.start <= bufferSize-minLookahead)
}

// fast takes what matches at once.
func (z *Writer) fast() {
	at := z.first()
	if z.near(at) {
		z.matchLen = z.longest(at)
	}
	full := false
	if z.matchLen < minMatch {
		full = z.literal(z.window[z.start])
		z.start++
		z.ahead--
	} else {
		full = z.match(z.start-z.matchStart, z.matchLen)
		z.ahead -= z.matchLen
		if z.matchLen <= z.effort.lazy && (z.ahead >= minMatch || z.dialect == GNU) {
			for range z.matchLen - 1 {
				z.start++
				z.insert(z.start)
			}
			z.start++
		} else {
			z.start += z.matchLen
		}
		z.matchLen = 0
	}
	if full {
		z.endBlock(false)
	}
}

// lazy takes a match only if there is no better one a byte later.
func (z *Writer) lazy() {
	at := z.first()
	z.prevLen = z.matchLen
	prevMatch := z.matchStart
	z.matchLen = minMatch - 1
	if z.prevLen < z.effort.lazy && z.near(at) {
		z.matchLen = z.longest(at)
		if z.matchLen == minMatch && z.start-z.matchStart > tooFar {
			z.matchLen--
		}
	}
	switch {
	case z.prevLen >= minMatch && z.matchLen <= z.prevLen:
		last := z.start + z.ahead - minMatch // with a whole string
		full := z.match(z.start-1-prevMatch, z.prevLen)
		z.ahead -= z.prevLen - 1
		for range z.prevLen - 2 {
			if z.start++; z.start <= last || z.dialect == GNU {
				z.insert(z.start)
			}
		}
		z.start++
		z.available, z.matchLen = false, minMatch-1
		if full {
			z.endBlock(false)
		}
	case z.available:
		if z.literal(z.window[z.start-1]) {
			z.endBlock(false)
		}
		z.start++
		z.ahead--
	default:
		z.available = true
		z.start++
		z.ahead--
	}
}
