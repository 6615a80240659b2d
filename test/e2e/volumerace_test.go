package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestVolumeRace: a volume that a container is being made with is either kept by
// it or was gone before: no container is there without the volume it names.
func TestVolumeRace(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "pull", "-q", "busybox")
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	first, refused := 0, 0
	for i := range 12 {
		name := fmt.Sprintf("race%d", i)
		must(t, d, "berth", "volume", "create", name)
		var made, gone error
		var madeText, goneText string
		var both sync.WaitGroup
		both.Go(func() {
			madeText, made = client(t, d, "berth", "create", "--name", name, "-v", name+":/v", "busybox", "true")
		})
		both.Go(func() {
			for range 3 { // one of them comes at the right moment
				if goneText, gone = client(t, d, "berth", "volume", "rm", name); gone == nil {
					return
				}
			}
		})
		both.Wait()
		if made != nil {
			t.Errorf("create: %s", madeText)
			continue
		}
		// Whoever came first: the container has a volume of this name, and it can
		// be used.
		if out, err := client(t, d, "berth", "start", "-a", name); err != nil {
			t.Errorf("start: %s (rm: %v %s)", out, gone, goneText)
		}
		if out, err := client(t, d, "berth", "volume", "rm", name); err == nil || !strings.Contains(out, "volume is in use") {
			t.Errorf("the volume of a container was removed: %s", out)
		}
		if gone == nil {
			first++
		} else {
			refused++
		}
		must(t, d, "berth", "rm", name)
		must(t, d, "berth", "volume", "rm", name)
	}
	t.Logf("removed before the container was made: %d, refused: %d", first, refused)
	noLeak(t, d, before)
}
