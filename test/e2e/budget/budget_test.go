// Package budget counts what starts and commands ask of the kernel. Times tell
// nothing on a busy machine; these counts are the same everywhere.
package budget

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// TestBudget: a start and an exec cost no more system calls, programs, processes,
// waits for a disk and messages about links than test/bench/budget.txt says.
// Whoever makes them cheaper writes that down: bench -budget … -update, as root.
func TestBudget(t *testing.T) {
	bin, err := engine.Bin()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "bench"), "-budget", "../../bench/budget.txt").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
		return
	}
	t.Logf("%s", out)
}
