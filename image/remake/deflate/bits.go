package deflate

import "io"

// out writes bits, the lowest first.
type out struct {
	w     io.Writer
	err   error // the first of w
	held  uint64
	count uint8
	buf   []byte
}

const outSize = 64 << 10

// bits writes the lowest n bits of v, at most 16.
func (o *out) bits(v uint, n uint8) {
	o.held |= uint64(v) << o.count
	if o.count += n; o.count < 32 {
		return
	}
	o.buf = append(o.buf, byte(o.held), byte(o.held>>8), byte(o.held>>16), byte(o.held>>24))
	o.held >>= 32
	o.count -= 32
	o.spill()
}

// spill hands on what is much.
func (o *out) spill() {
	if len(o.buf) >= outSize {
		_ = o.flush() // kept in err
	}
}

// align fills the last byte.
func (o *out) align() {
	for ; o.count > 0; o.count -= min(o.count, 8) {
		o.buf = append(o.buf, byte(o.held))
		o.held >>= 8
	}
	o.held = 0
}

// short writes 16 bits after align.
func (o *out) short(v int) { o.buf = append(o.buf, byte(v), byte(v>>8)) }

func (o *out) raw(p []byte) {
	o.buf = append(o.buf, p...)
	o.spill()
}

// flush hands on what is whole.
func (o *out) flush() error {
	if o.err == nil {
		_, o.err = o.w.Write(o.buf)
	}
	o.buf = o.buf[:0]
	return o.err
}
