package task

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// TestDefaultSignals runs in a child, since it changes the whole process.
func TestDefaultSignals(t *testing.T) {
	const child = "BERTH_TEST_SIGNALS"
	if os.Getenv(child) == "" {
		signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
		defer signal.Reset(syscall.SIGHUP, syscall.SIGINT)
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestDefaultSignals$")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if before := ignored(t); before == strings.Repeat("0", 16) {
		t.Fatal("nothing is ignored: the test does not see what it should")
	}
	if err := DefaultSignals(); err != nil {
		t.Fatal(err)
	}
	if after := ignored(t); after != strings.Repeat("0", 16) {
		t.Errorf("still ignored: %s", after)
	}
}

// ignored reads the mask of ignored signals, 16 hexadecimal digits.
func ignored(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "SigIgn:")
	return strings.Fields(rest)[0]
}
