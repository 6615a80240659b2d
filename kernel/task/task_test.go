package task

import (
	"errors"
	"io"
	"os"
	"reflect"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

func TestParseCaps(t *testing.T) {
	set, unknown := ParseCaps([]string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "CHOWN", "CAP_NOSUCH", "cap_kill"})
	if set != 1|1<<40 || !reflect.DeepEqual(unknown, []string{"CHOWN", "CAP_NOSUCH", "cap_kill"}) {
		t.Errorf("%x, %q", set, unknown)
	}
	if len(names) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names, the kernel's headers have %d", len(names), unix.CAP_LAST_CAP+1)
	}
}

func TestCaps(t *testing.T) {
	if err := ns.OnThread(func() error {
		if err := SetBounding(0b111); err != nil {
			return err
		}
		if err := SetCaps(0b01, 0b11, 0b01); err != nil {
			return err
		}
		if err := SetAmbient(0b01); err != nil {
			return err
		}
		effective, permitted, err := CurrentCaps()
		if effective != 1 || permitted != 3 {
			t.Errorf("%x, %x", effective, permitted)
		}
		if err := SetCaps(0b111, 0b111, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("capabilities came back: %v", err)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if effective, _, err := CurrentCaps(); err != nil || effective&(1<<21) == 0 {
		t.Errorf("other threads are changed: %x, %v", effective, err)
	}
}

func TestSendFile(t *testing.T) {
	a, b, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := Send(a, []byte("with"), w); err != nil {
		t.Fatal(err)
	}
	if err := Send(a, []byte("out"), nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	buf := make([]byte, 4)
	f, err := Receive(b, buf)
	if err != nil || string(buf) != "with" || f == nil {
		t.Fatalf("%q, %v", buf, err)
	}
	if _, err := f.WriteString("through"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "through" {
		t.Errorf("%q, %v", text, err)
	}
	a.Close()
	if f, err := Receive(b, buf); !errors.Is(err, io.ErrUnexpectedEOF) || f != nil {
		t.Errorf("short: %v", err)
	}
	if _, err := Receive(b, buf); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
	runtime.KeepAlive(a)
}

func TestWorkingDirInRoot(t *testing.T) {
	if err := WorkingDirInRoot(); err != nil {
		t.Error(err)
	}
	dir := t.TempDir() + "/x"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := WorkingDirInRoot(); !errors.Is(err, ErrOutside) {
		t.Errorf("%v", err)
	}
}
