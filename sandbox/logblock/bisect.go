package logblock

// near is how close a search for a time comes before reading on is cheaper.
const near = 1 << 20

// before returns where a frame begins that is older than t, with less than
// near between it and the first that is not; the head if there is none. It
// halves, instead of reading from the beginning: frames can be found in the
// middle of a segment by their first bytes and checksums. Bytes that a
// container wrote may look like a frame and mislead the search in its own log.
func (s *segment) before(t int64) int64 {
	low, high := s.head, s.size()
	for high-low > near {
		middle := low + (high-low)/2
		f, off, ok := s.frameBehind(middle)
		switch {
		case !ok || off >= high:
			high = middle
		case f.time < t:
			low = off
		default:
			high = middle
		}
	}
	return low
}

// frameBehind finds the first frame that begins at or behind off and has
// another behind it, or the end of the segment.
func (s *segment) frameBehind(off int64) (frame, int64, bool) {
	buf := make([]byte, 2*(MaxData+overhead))
	n, _ := s.f.ReadAt(buf, off) // an error counts as the end
	buf = buf[:n]
	for i := 0; i+overhead <= len(buf) && i <= MaxData+overhead; i++ {
		if buf[i] != sync0 || buf[i+1] != sync1 {
			continue
		}
		f, ok := parseFrame(buf[i:])
		if !ok {
			continue
		}
		next := i + int(f.size())
		if next+1 >= len(buf) || buf[next] == sync0 && buf[next+1] == sync1 {
			return f, off + int64(i), true
		}
	}
	return frame{}, 0, false
}
