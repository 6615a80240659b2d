package timerslack

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestWiden(t *testing.T) {
	first := strconv.Itoa(os.Getpid())
	slack := func(thread string) string {
		b, err := os.ReadFile("/proc/" + thread + "/timerslack_ns")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	before := slack(first)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	Widen(12345 * time.Nanosecond)
	others := 0
	for _, thread := range threads {
		want := before
		if thread.Name() != first {
			want = "12345"
			others++
		}
		if got := slack(thread.Name()); got != want {
			t.Errorf("thread %s of process %s has a slack of %s ns, want %s", thread.Name(), first, got, want)
		}
	}
	if others == 0 {
		t.Error("there is no thread of the runtime's")
	}
	for range 20 { // from whichever threads
		child := exec.CommandContext(t.Context(), "sleep", "60")
		if err := Fork(child.Start); err != nil {
			t.Fatal(err)
		}
		got := slack(strconv.Itoa(child.Process.Pid))
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed
		if got != before {
			t.Fatalf("a child has a slack of %s ns, want %s", got, before)
		}
	}
}
