package ns

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNetNS(t *testing.T) {
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewNetNS()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = WithNetNS(f, func() error {
		if unix.Gettid() == unix.Getpid() {
			t.Error("on the main thread")
		}
		in, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer in.Close()
		if same, err := Same(in, f); err != nil || !same {
			t.Errorf("elsewhere: %v", err)
		}
		if err := LoopbackUp(); err != nil {
			return err
		}
		list, err := net.Interfaces()
		if err != nil || len(list) != 1 || list[0].Flags&net.FlagUp == 0 {
			t.Errorf("%v, %v", list, err)
		}
		return errors.New("from inside")
	})
	if err == nil || err.Error() != "from inside" {
		t.Error(err)
	}
	if after, _ := os.Readlink("/proc/self/ns/net"); after != before {
		t.Error("the process has moved")
	}
	for range 50 {
		if err := OnThread(func() error {
			if unix.Gettid() == unix.Getpid() {
				t.Error("on the main thread")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

func TestProcess(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	f, err := PidfdOpen(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	start, err := ProcessStartTime(pid)
	own, err2 := ProcessStartTime(os.Getpid())
	if err != nil || err2 != nil || start < own {
		t.Errorf("%d (%v), %d (%v)", start, err, own, err2)
	}
	if Ending(pid) {
		t.Error("it lives")
	}
	if err := PidfdSignal(f, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
	if !Ending(pid) {
		t.Error("it has ended")
	}
	if err := PidfdSignal(f, syscall.SIGTERM); !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
	if _, err := ProcessStartTime(pid); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestParseStartTime(t *testing.T) {
	line := []byte("12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21")
	stat, err := parseStat(line)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := startTime(stat); err != nil || n != 4711 {
		t.Errorf("%d, %v", n, err)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestSealedMemfd(t *testing.T) {
	f, err := SealedMemfd("x", bytes.NewReader([]byte("#!/bin/sh\n")))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("y"), 0); err == nil {
		t.Error("written")
	}
	if err := f.Truncate(1); err == nil {
		t.Error("truncated")
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDWR, 0)
	if err == nil {
		if _, err := again.Write([]byte("y")); err == nil {
			t.Error("written through another descriptor")
		}
		again.Close()
	}
	d, err := DataMemfd("d", bytes.NewReader([]byte("data")))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if b, err := io.ReadAll(d); err != nil || string(b) != "data" {
		t.Errorf("%q, %v", b, err)
	}
}
