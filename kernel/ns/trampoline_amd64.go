package ns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"
)

// A trampoline is a program that does a Script and nothing else: a page of code,
// with the script as its data, in a sealed file in memory. A caller whose own
// program is a file of the host has the child execute one before it joins a
// container: what /proc/PID/exe leads to there is then this, in which is nothing
// to overwrite (CVE-2019-5736), and it starts in a tenth of the time of a program
// with a runtime.

func trampolineText()

// trampolineStart is the address of trampolineText's code.
var trampolineStart uintptr

// codeEnd is what the code of a program ends with.
var codeEnd = []byte{0xb1, 0xe7, 0x0f, 0x0b, 0xe7, 0xb1, 0x0f, 0x0b}

// Where the code and the data are mapped; the assembly knows the second.
const (
	codeBase = 0x10000000
	dataBase = 0x10001000
	pageSize = 0x1000
)

// codeAt copies the code of a program, at an address of this one.
func codeAt(start *uintptr) ([]byte, error) {
	page := unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(start))), pageSize/2)
	end := bytes.Index(page, codeEnd)
	if end < 0 {
		return nil, errors.New("the code has no end")
	}
	return bytes.Clone(page[:end]), nil
}

// trampolineCode is a copy of the code.
var trampolineCode = sync.OnceValues(func() ([]byte, error) { return codeAt(&trampolineStart) })

// trampolineData is what the data begin with.
type trampolineData struct {
	count, calls, report, program, argv, envv uint64
	failed                                    failed
	stepExec                                  uint64
	// Of a script that serves: the calls of its loop, and of each child.
	loop, loopCount, child, childCount uint64
}

// trampolineCall is a call as the code reads it.
type trampolineCall struct {
	number uint64
	args   [5]uint64
	pardon [2]uint64
	check  uint64
	step   uint64
}

// trampoline makes the program; first are calls before the script's own. The
// program reports to the descriptor report.
func (s *Script) trampoline(first []stepCall, report int) (*os.File, error) {
	code, err := trampolineCode()
	if err != nil {
		return nil, err
	}
	if len(s.Program) == 0 {
		return nil, errors.New("no program")
	}
	a := &s.arena
	whole := arena{data: bytes.Clone(a.data), pointers: a.pointers[:len(a.pointers):len(a.pointers)]}
	var head trampolineData
	var lists [3]offset
	for i, texts := range [][]string{s.Program, s.Args, s.Env} {
		if lists[i], err = whole.list(texts); err != nil {
			return nil, err
		}
	}
	// The head comes first, and the arena behind it.
	size := int(unsafe.Sizeof(head))
	arenaBase := uintptr(dataBase + size)
	var calls []trampolineCall
	add := func(c *call, step uint32) {
		t := trampolineCall{number: uint64(c.number), check: uint64(c.check), step: uint64(step)}
		for i := range c.args {
			t.args[i] = uint64(c.args[i])
			if c.points&(1<<i) != 0 {
				t.args[i] += uint64(arenaBase)
			}
		}
		for i, e := range c.pardon {
			t.pardon[i] = uint64(e)
		}
		calls = append(calls, t)
	}
	for i := range first {
		add(&first[i].call, first[i].step)
	}
	begin, once := len(calls), len(s.calls)
	if s.serves {
		if report != serveControl {
			return nil, fmt.Errorf("a script that serves needs %d descriptors", serveControl)
		}
		once = s.once
		begin += s.loop
	}
	for i := range s.calls[:once] {
		add(&s.calls[i], stepScript)
	}
	count := len(calls)
	for i := range s.calls[once:] {
		add(&s.calls[once+i], stepScript)
	}
	at := put(&whole, calls)
	address := func(o offset) uint64 { return uint64(arenaBase) + uint64(o) }
	callAt := func(n int) uint64 { return address(at) + uint64(n)*uint64(unsafe.Sizeof(trampolineCall{})) }
	head = trampolineData{
		count: uint64(count), calls: callAt(0), report: uint64(report),
		program: address(lists[0]), argv: address(lists[1]), envv: address(lists[2]), stepExec: stepExec,
		loop: callAt(begin), loopCount: uint64(count - begin), child: callAt(count), childCount: uint64(len(calls) - count),
	}
	data := whole.copy()
	whole.relocate(data, arenaBase)
	headBytes := unsafe.Slice((*byte)(unsafe.Pointer(&head)), size)
	return SealedMemfd("trampoline", bytes.NewReader(image(code, append(bytes.Clone(headBytes), data...))))
}

// The headers of an ELF program (elf(5)).
type (
	elfHeader struct {
		ident                                    [16]byte
		kind, machine                            uint16
		version                                  uint32
		entry, segments, sections                uint64
		flags                                    uint32
		size, segmentSize, segmentCount, a, b, c uint16
	}
	elfSegment struct {
		kind, flags                                    uint32
		offset, address, physical, size, memory, align uint64
	}
)

const (
	codeOffset                = 0x200 // behind the headers
	elfProgram, elfAMD64      = 2, 62
	elfLoad, elfStack         = 1, 0x6474e551
	elfRun, elfWrite, elfRead = 1, 2, 4
)

// image is a static program of one page of code and of data that can be written.
func image(code, data []byte) []byte {
	out := make([]byte, pageSize, pageSize+len(data))
	size := uint64(codeOffset + len(code))
	segments := [...]elfSegment{
		{kind: elfLoad, flags: elfRead | elfRun, address: codeBase, size: size, memory: size, align: pageSize},
		{kind: elfLoad, flags: elfRead | elfWrite, offset: pageSize, address: dataBase, size: uint64(len(data)), memory: uint64(len(data)), align: pageSize},
		{kind: elfStack, flags: elfRead | elfWrite},
	}
	header := elfHeader{
		ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, // 64 bits, little endian
		kind:  elfProgram, machine: elfAMD64, version: 1, entry: codeBase + codeOffset,
		segments: uint64(unsafe.Sizeof(elfHeader{})), size: uint16(unsafe.Sizeof(elfHeader{})),
		segmentSize: uint16(unsafe.Sizeof(elfSegment{})), segmentCount: uint16(len(segments)),
	}
	n := copy(out, unsafe.Slice((*byte)(unsafe.Pointer(&header)), unsafe.Sizeof(header)))
	copy(out[n:], unsafe.Slice((*byte)(unsafe.Pointer(&segments)), unsafe.Sizeof(segments)))
	copy(out[codeOffset:], code)
	return append(out, data...)
}
