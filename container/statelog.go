package container

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/berth-engine/berth/fault"
)

// statesPrefix begins the names of the two files of a stateLog.
const statesPrefix = ".states-"

const (
	// stateHalf is the size of one of them: some three hundred records.
	stateHalf = 512 << 10
	// frameHead is what comes before a record: length and checksum of what
	// follows, round, sequence number, ID.
	frameHead = 4 + 4 + 8 + 8 + 32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A stateLog holds later versions of records until they are written out, each to
// its file. A container that lives for milliseconds has gone through all its
// states by then, and is removed: none of them makes a file. What is in the log
// survives the daemon, since the kernel has it, and may not survive a power loss.
//
// Of its two files one is written while what the other holds is written out; then
// they change places. A version of a record counts by its number (Record.Seq), so
// that what is left in a file from before does no harm.
type stateLog struct {
	root  string
	added chan struct{} // of the first since the last turn
	full  chan struct{} // half of a file is used

	mu      sync.Mutex
	half    [2]*os.File // nil: the log cannot be used
	at      int         // the one that is written
	used    int64       // bytes of it
	round   uint64      // goes up with each turn; all frames of a file that count have the same
	pending map[string]late
	going   map[string]late // those of the other file, which are being written out
}

// late is a version of a record that is not durable in its file.
type late struct {
	record  *Record
	written bool // it is in the file, but that may not be on the disk
}

func newStateLog(root string) *stateLog {
	return &stateLog{root: root, added: make(chan struct{}, 1), full: make(chan struct{}, 1), pending: map[string]late{}}
}

func statesFile(root string, half int) string {
	return filepath.Join(root, statesPrefix+strconv.Itoa(half))
}

// open makes the log ready, whose frames so far have been written out; round is
// their highest. The files have their room on the disk from then on. It is no
// error if there is none: records then go to their files at once.
func (l *stateLog) open(round uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var files [2]*os.File
	for i := range files {
		f, err := openHalf(statesFile(l.root, i))
		if err != nil {
			if files[0] != nil {
				err = errors.Join(err, files[0].Close())
			}
			if isFull(err) {
				return nil
			}
			return fmt.Errorf("open the log of states: %w", err)
		}
		files[i] = f
	}
	l.half, l.round = files, round+1
	return nil
}

func openHalf(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != stateHalf {
		if _, err = f.WriteAt(make([]byte, stateHalf), 0); err == nil {
			err = f.Truncate(stateHalf)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(path)) // of no use, and in the way of others
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// close lets go of the files.
func (l *stateLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for i, f := range l.half {
		if f != nil {
			errs = append(errs, f.Close())
		}
		l.half[i] = nil
	}
	return errors.Join(errs...)
}

// add takes a version of a record, encoded. It is false if there is no room for
// it, or no log.
func (l *stateLog) add(r *Record, encoded []byte) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.append(r, encoded) {
		return false, nil
	}
	if err := fault.Point("container.states.added"); err != nil {
		return false, err
	}
	l.expect(late{record: r})
	if l.used > stateHalf/2 {
		poke(l.full)
	}
	return true, nil
}

func (l *stateLog) append(r *Record, encoded []byte) bool {
	f := l.half[l.at]
	if f == nil || l.used+int64(frameHead+len(encoded)) > stateHalf {
		return false
	}
	b := frame(l.round, r, encoded)
	if _, err := f.WriteAt(b, l.used); err != nil {
		return false // and the next is written over it
	}
	l.used += int64(len(b))
	return true
}

func (l *stateLog) expect(v late) {
	l.pending[v.record.ID] = v
	poke(l.added)
}

// later asks for what is in the record's file to be made durable.
func (l *stateLog) later(r *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expect(late{r, true})
}

// drop forgets a container: it is gone, or a newer version is in its file.
func (l *stateLog) drop(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, id)
	delete(l.going, id)
}

// turn changes the places of the files, and returns what has to be written out
// before the next turn.
func (l *stateLog) turn() map[string]late {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.used = 1-l.at, 0
	l.round++
	l.going, l.pending = l.pending, map[string]late{}
	select {
	case <-l.full:
	default:
	}
	return maps.Clone(l.going)
}

// due tells whether what turn returned is still to be written out.
func (l *stateLog) due(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.going[id]
	return ok
}

// again takes back what could not be written out, for the next turn.
func (l *stateLog) again(v late) {
	encoded, err := encodeRecord(v.record)
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, newer := l.pending[v.record.ID]; newer || l.going[v.record.ID].record != v.record {
		return
	}
	if err == nil && !v.written {
		l.append(v.record, encoded) // or else the other file has it until the next turn but one
	}
	l.expect(v)
}

// poke wakes who waits for c, once.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// frame is a record as it stands in a file.
func frame(round uint64, r *Record, encoded []byte) []byte {
	b := make([]byte, frameHead, frameHead+len(encoded))
	binary.BigEndian.PutUint32(b, uint32(frameHead-8+len(encoded)))
	binary.BigEndian.PutUint64(b[8:], round)
	binary.BigEndian.PutUint64(b[16:], r.Seq)
	_, _ = hex.Decode(b[24:frameHead], []byte(r.ID)) // an ID is that
	b = append(b, encoded...)
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

// loggedState is the newest version of a record in a log.
type loggedState struct {
	seq     uint64
	encoded []byte
}

// readStates reads what a log holds, by ID, and its highest round.
func readStates(root string) (found map[string]loggedState, round uint64, err error) {
	found = map[string]loggedState{}
	for i := range 2 {
		f, err := os.Open(statesFile(root, i))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		last, err := readHalf(f, found)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, 0, err
		}
		round = max(round, last)
	}
	return found, round, nil
}

// readHalf reads the frames of one file until one is torn or of another round:
// what follows is of before.
func readHalf(f *os.File, found map[string]loggedState) (round uint64, err error) {
	r := bufio.NewReaderSize(f, 32<<10)
	for {
		var size [8]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return round, ended(err)
		}
		n := binary.BigEndian.Uint32(size[:])
		if n < frameHead-8 || n > stateHalf {
			return round, nil
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return round, ended(err)
		}
		of := binary.BigEndian.Uint64(b)
		if crc32.Checksum(b, castagnoli) != binary.BigEndian.Uint32(size[4:]) || round != 0 && of != round {
			return round, nil
		}
		round = of
		id := hex.EncodeToString(b[16 : frameHead-8])
		if seq := binary.BigEndian.Uint64(b[8:]); seq > found[id].seq {
			found[id] = loggedState{seq, b[frameHead-8:]}
		}
	}
}

// ended is no error where a file ends.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
