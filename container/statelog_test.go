package container

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// logged is a directory of records with its log of states.
type logged struct {
	records
	t *testing.T
}

func newLogged(t *testing.T) *logged {
	t.Helper()
	root := t.TempDir()
	l := &logged{records{root: root, gone: newGone(), states: newStateLog(root)}, t}
	if err := errors.Join(l.open(), l.states.open(0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.states.close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *logged) made(id string) *Record {
	l.t.Helper()
	r := testRecord(id)
	r.Seq = 1
	if err := errors.Join(os.Mkdir(l.dir(r.ID), 0o700), l.create(r, false)); err != nil {
		l.t.Fatal(err)
	}
	return r
}

// step saves the next version of r.
func (l *logged) step(r *Record, run uint64) *Record {
	l.t.Helper()
	next := *r
	next.Seq++
	next.Run = run
	if err := l.save(&next); err != nil {
		l.t.Fatal(err)
	}
	return &next
}

// found is what a daemon after this one, which was killed, finds: the run, and
// whether it is from the log.
func (l *logged) found(id string) (run uint64, newer bool) {
	l.t.Helper()
	states, _, err := readStates(l.root)
	if err != nil {
		l.t.Fatal(err)
	}
	r, newer, err := l.load(id, states[id])
	if err != nil {
		l.t.Fatal(err)
	}
	return r.Run, newer
}

func (l *logged) want(when, id string, run uint64, newer bool) {
	l.t.Helper()
	if gotRun, gotNewer := l.found(id); gotRun != run || gotNewer != newer {
		l.t.Errorf("%s: run %d, from the log: %t; want %d, %t", when, gotRun, gotNewer, run, newer)
	}
}

func (l *logged) persist(whole bool) {
	l.t.Helper()
	if got := l.writeOut(func(_ string, err error) {
		if whole {
			l.t.Error(err)
		}
	}); got != whole {
		l.t.Errorf("all was written: %t, want %t", got, whole)
	}
}

// inFile is the run that the record's file has.
func (l *logged) inFile(id string) uint64 {
	l.t.Helper()
	r, err := l.loadFile(filepath.Join(l.dir(id), recordFile))
	if err != nil {
		l.t.Fatal(err)
	}
	return r.Run
}

// TestStatesV1 holds the layout of docs/contracts/record.md, The log of states: what
// version 1 wrote is read, and written again as it was.
func TestStatesV1(t *testing.T) {
	golden := filepath.Join("testdata", "states-v1.bin")
	r := testRecord("a")
	r.Seq, r.State, r.Run = 3, Running, 1
	encoded, err := encodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	torn := testRecord("b")
	torn.Seq = 2
	got := append(frame(5, r, encoded), frame(5, torn, encoded)[:100]...)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("version 1 changed; a change needs a decision record:\n%q\n%q", got, want)
	}
	root := t.TempDir()
	if err := os.WriteFile(statesFile(root, 1), want, 0o600); err != nil {
		t.Fatal(err)
	}
	found, round, err := readStates(root)
	if err != nil || round != 5 || len(found) != 1 || found[r.ID].seq != 3 {
		t.Fatalf("%+v, round %d, %v", found, round, err)
	}
	if last, err := decodeRecord(found[r.ID].encoded); err != nil || last.State != Running || last.Seq != 3 {
		t.Errorf("%+v, %v", last, err)
	}
}

// TestStatesAreLogged: what is saved makes no file before it is written out, and a
// daemon that is killed at any time leaves the last that was saved.
func TestStatesAreLogged(t *testing.T) {
	l := newLogged(t)
	a, b := l.made("a"), l.made("b")
	l.want("created", a.ID, 0, false)
	a = l.step(a, 1)
	a = l.step(a, 2)
	b = l.step(b, 7)
	l.want("saved", a.ID, 2, true)
	if in := l.inFile(a.ID); in != 0 {
		t.Errorf("run %d is in the file already", in)
	}
	l.persist(true)
	l.want("written out", a.ID, 2, false)
	a = l.step(a, 3)
	l.want("saved again", a.ID, 3, true)
	l.want("another, meanwhile", b.ID, 7, false)
	l.persist(true)
	l.persist(true)
	l.want("written out again", a.ID, 3, false)
	l.step(a, 4)
	if err := l.remove(a.ID, true, nil, nil); err != nil {
		t.Fatal(err)
	}
	l.states.drop(a.ID)
	l.persist(true)
	if ids, err := l.ids(); err != nil || len(ids) != 1 {
		t.Errorf("%q are left, %v", ids, err)
	}
	next := newStateLog(l.root)
	_, round, err := readStates(l.root)
	if err == nil {
		err = next.open(round)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer next.close()
	if next.round <= round || round < l.states.round-1 {
		t.Errorf("round %d after %d, and the log was at %d", next.round, round, l.states.round)
	}
}

// TestTornLog: where the log is damaged or gone, what was written before it counts.
func TestTornLog(t *testing.T) {
	l := newLogged(t)
	r := l.made("a")
	r = l.step(r, 1)
	whole := l.states.used
	l.step(r, 2)
	path := statesFile(l.root, l.states.at)
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(when string, run uint64, newer bool, change func(b []byte) []byte) {
		t.Helper()
		if err := os.WriteFile(path, change(bytes.Clone(log)), 0o600); err != nil {
			t.Fatal(err)
		}
		l.want(when, r.ID, run, newer)
	}
	damage("whole", 2, true, func(b []byte) []byte { return b })
	for at := whole; at < l.states.used; at += 97 {
		damage("a wrong byte", 1, true, func(b []byte) []byte { b[at] ^= 1; return b })
		damage("cut off", 1, true, func(b []byte) []byte { return b[:at] })
		damage("the rest is zero", 1, true, func(b []byte) []byte { clear(b[at:]); return b })
	}
	damage("empty", 0, false, func([]byte) []byte { return nil })
	damage("nothing of it is right", 0, false, func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.want("gone", r.ID, 0, false)

	// The other way round: the log is whole, the record is not.
	damage("whole again", 2, true, func(b []byte) []byte { return b })
	if err := os.Truncate(filepath.Join(l.dir(r.ID), recordFile), 0); err != nil {
		t.Fatal(err)
	}
	l.want("the record is damaged", r.ID, 2, true)
	if err := os.Remove(filepath.Join(l.dir(r.ID), recordFile)); err != nil {
		t.Fatal(err)
	}
	states, _, err := readStates(l.root)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.load(r.ID, states[r.ID]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a record it was never finished, and: %v", err)
	}
}

// TestLogAfterOtherProgram: what a program that knows no log wrote counts, whatever
// the log has, and what is saved after that counts more.
func TestLogAfterOtherProgram(t *testing.T) {
	l := newLogged(t)
	r := l.made("a")
	for run := range uint64(5) {
		r = l.step(r, run)
	}
	other := *r
	other.Seq, other.Run = 0, 9
	if err := l.replace(&other); err != nil {
		t.Fatal(err)
	}
	states, _, err := readStates(l.root)
	if err != nil {
		t.Fatal(err)
	}
	got, newer, err := l.load(r.ID, states[r.ID])
	if err != nil || got.Run != 9 || got.Seq != r.Seq || !newer {
		t.Fatalf("%+v, %t, %v", got, newer, err)
	}
	if err := l.replace(got); err != nil { // as a start does
		t.Fatal(err)
	}
	l.want("read again", r.ID, 9, false)

	first := testRecord("b")
	if err := errors.Join(os.Mkdir(l.dir(first.ID), 0o700), l.create(first, false)); err != nil {
		t.Fatal(err)
	}
	l.step(first, 1)
	if in := l.inFile(first.ID); in != 1 {
		t.Errorf("the first change of a record without a number is not in its file, but run %d", in)
	}
}

// TestLogThatCannotBeWrittenOut: what has no way to its file stays in the log,
// however often that is tried.
func TestLogThatCannotBeWrittenOut(t *testing.T) {
	l := newLogged(t)
	r := l.step(l.made("a"), 1)
	wall := filepath.Join(l.dir(r.ID), recordFile+tmpSuffix)
	if err := os.Mkdir(wall, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.persist(false)
		l.want("not written out", r.ID, 1, true)
	}
	r = l.step(r, 2)
	l.persist(false)
	l.want("changed meanwhile", r.ID, 2, true)
	if err := os.Remove(wall); err != nil {
		t.Fatal(err)
	}
	l.persist(true)
	l.want("written out", r.ID, 2, false)
}

// TestFullLog: what the log has no room for is in its file at once, and so is all
// where there is no log; what the log has of before does not come back.
func TestFullLog(t *testing.T) {
	l := newLogged(t)
	r := l.made("a")
	r.Config.Labels = map[string]string{"large": strings.Repeat("x", stateHalf/10)}
	run := uint64(0)
	for newer := true; newer; {
		if run++; run > 20 {
			t.Fatal("the log takes more than there is room for")
		}
		r = l.step(r, run)
		_, newer = l.found(r.ID)
	}
	l.want("full", r.ID, run, false)
	select {
	case <-l.states.full:
	default:
		t.Error("nobody was told that the log is full")
	}
	l.persist(true)
	l.want("full, and written out", r.ID, run, false)
	r = l.step(r, 100)
	l.want("with room again", r.ID, 100, true)
	if err := l.states.close(); err != nil {
		t.Fatal(err)
	}
	r = l.step(r, 101)
	l.want("without a log", r.ID, 101, false)
	l.persist(true)
	l.want("without a log, durable", r.ID, 101, false)
}

// TestLogInUse: versions that are saved while others are written out are neither
// lost nor overtaken.
func TestLogInUse(t *testing.T) {
	l := newLogged(t)
	const last = 300
	var saving, writing sync.WaitGroup
	stop := make(chan struct{})
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.writeOut(func(_ string, err error) { t.Error(err) })
			}
		}
	})
	ids := []string{}
	for _, id := range []string{"a", "b", "c", "d"} {
		r := l.made(id)
		if id == "d" { // mostly too large for the log
			r.Config.Labels = map[string]string{"large": strings.Repeat("x", stateHalf/3)}
		}
		ids = append(ids, r.ID)
		saving.Go(func() {
			for run := range uint64(last + 1) {
				next := *r
				next.Seq, next.Run = r.Seq+1, run
				if err := l.save(&next); err != nil {
					t.Error(err)
					return
				}
				r = &next
			}
		})
	}
	saving.Wait()
	close(stop)
	writing.Wait()
	for _, id := range ids {
		if run, _ := l.found(id); run != last {
			t.Errorf("%.1s was at run %d, and %d is found", id, last, run)
		}
	}
	l.persist(true)
	for _, id := range ids {
		l.want("at last", id, last, false)
	}
}
