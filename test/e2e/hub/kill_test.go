package hub

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/berth-engine/berth/test/hubload"
)

// TestKilledHubKeepsWhatItAcknowledged kills the Hub (SIGKILL) while two hundred
// clients push and pull, twice, and reads every acknowledged push after
// the next start.
func TestKilledHubKeepsWhatItAcknowledged(t *testing.T) {
	data := t.TempDir()
	database := filepath.Join(data, "hub.db")
	newUser(t, database, "load")
	o := hubload.Options{Repository: "load/x", User: "load", Secret: userToken(t, database, "load"), Workers: 200, Rounds: 1000, Layer: 4 << 10}
	var all []hubload.Push
	for life := range 2 {
		hub, url := process(t, "--data", data, "--accounts", "--no-seed")
		o.URL = url
		if errs := hubload.Verify(t.Context(), o, all); len(errs) > 0 {
			t.Fatalf("after kill %d, %d of %d pushes: %v", life, len(errs), len(all), errs[0])
		}
		var mu sync.Mutex
		acknowledged := 0
		o.Pushed = func(p hubload.Push) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, p)
			if acknowledged++; acknowledged == 150 {
				if err := hub.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
		}
		o.Repository = "load/life" + string(rune('a'+life))
		hubload.Run(t.Context(), o)
		_ = hub.Wait() // it was killed
	}
	_, url := process(t, "--data", data, "--accounts", "--no-seed")
	o.URL = url
	if errs := hubload.Verify(t.Context(), o, all); len(errs) > 0 {
		t.Errorf("%d of %d acknowledged pushes cannot be read: %v", len(errs), len(all), errs[0])
	}
	// It takes new ones, too.
	o.Pushed, o.Rounds, o.Workers = nil, 1, 20
	if r := hubload.Run(t.Context(), o); len(r.Errors) > 0 || r.Pushes != 20 {
		t.Errorf("%d pushes after the last start: %v", r.Pushes, r.Errors)
	}
	t.Logf("%d acknowledged pushes were read", len(all))
}
