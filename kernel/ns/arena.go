package ns

import (
	"encoding/binary"
	"strings"
	"syscall"
	"unsafe"
)

// An arena holds what the calls of a Script point to, by offsets: the data get
// their addresses when it is known in which process they will be.
type arena struct {
	data     []byte
	pointers []pointer
}

type offset uintptr

// pointer is a place in the arena that holds the address of another.
type pointer struct{ at, to offset }

// put adds values, which hold no pointers of Go's, and returns where they are.
func put[T any](a *arena, values []T) offset {
	return a.add(unsafe.Pointer(unsafe.SliceData(values)), len(values)*int(unsafe.Sizeof(*new(T))))
}

// add is put of what is in memory; apart, so that it is compiled once.
func (a *arena) add(values unsafe.Pointer, size int) offset {
	const align = 8
	a.data = append(a.data, make([]byte, -len(a.data)&(align-1))...)
	at := offset(len(a.data))
	a.data = append(a.data, unsafe.Slice((*byte)(values), size)...)
	return at
}

// text adds a string that ends with NUL.
func (a *arena) text(s string) (offset, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return 0, syscall.EINVAL
	}
	return put(a, append([]byte(s), 0)), nil
}

// list adds strings and the list of their addresses, which ends with 0.
func (a *arena) list(texts []string) (offset, error) {
	var at []offset
	for _, t := range texts {
		o, err := a.text(t)
		if err != nil {
			return 0, err
		}
		at = append(at, o)
	}
	list := put(a, make([]uint64, len(texts)+1))
	for i, o := range at {
		a.point(list+offset(8*i), o)
	}
	return list, nil
}

// point has a place hold the address of another.
func (a *arena) point(at, to offset) { a.pointers = append(a.pointers, pointer{at, to}) }

// copy returns the data, aligned.
func (a *arena) copy() []byte {
	words := make([]uint64, len(a.data)/8+1)
	data := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))
	copy(data, a.data)
	return data
}

// relocate writes the addresses into a copy that will be at base.
func (a *arena) relocate(data []byte, base uintptr) {
	for _, p := range a.pointers {
		binary.NativeEndian.PutUint64(data[p.at:], uint64(base+uintptr(p.to)))
	}
}
