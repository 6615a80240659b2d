package gc

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/berth-engine/berth/oci"
)

// TestStress pushes, mounts and deletes images that share layers from many
// sides while collections run one after the other. The clock moves on only as
// far as no push becomes older than the grace period.
func TestStress(t *testing.T) { stress(t, 12) }

func stress(t *testing.T, rounds int) {
	h := newHub(t)
	const pushers, tick = 6, grace / 3
	var mu sync.Mutex
	started := map[int]int{} // ticks at which pushes under way began
	ticks := 0
	moved := sync.NewCond(&mu)
	done := make(chan struct{})
	var work sync.WaitGroup
	for p := range pushers {
		work.Go(func() {
			for round := range rounds {
				mu.Lock()
				started[p] = ticks
				mu.Unlock()
				stressOne(t, h.url, p, round)
				mu.Lock()
				delete(started, p)
				moved.Broadcast()
				mu.Unlock()
			}
		})
	}
	go func() { work.Wait(); close(done) }()
	removed := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		removed += h.collect(t, false).Blobs
		mu.Lock()
		for oldest(started) <= ticks-2 {
			moved.Wait()
		}
		ticks++
		h.clock.pass(tick)
		mu.Unlock()
	}
	h.clock.pass(2 * grace)
	removed += h.collect(t, false).Blobs
	wanted := map[string]bool{}
	for p := range pushers {
		for round := range rounds {
			i := stressImage(t, p, round)
			repository := fmt.Sprintf("r%d", p)
			if round%2 == 1 {
				if status, _ := do(t, http.MethodGet, h.url+"/v2/"+repository+"/manifests/"+i.Root().Descriptor.Digest.String()); status != http.StatusNotFound {
					t.Errorf("a deleted manifest: %d", status)
				}
				continue
			}
			if err := whole(t, h.url, repository, fmt.Sprint(round), i); err != nil {
				t.Error(err)
			}
			for _, b := range append(slices.Clone(i.Blobs), i.Root()) {
				wanted[b.Descriptor.Digest.Encoded()] = true
			}
		}
	}
	left := blobs(t, h.root)
	if len(left) != len(wanted) || removed == 0 {
		t.Errorf("%d blobs are left, %d are wanted, %d were removed", len(left), len(wanted), removed)
	}
}

func oldest(started map[int]int) int {
	least := 1 << 30
	for _, at := range started {
		least = min(least, at)
	}
	return least
}

// stressImage has a layer that all share, one that the images of a round share
// and one of its own.
func stressImage(t testing.TB, p, round int) oci.Image {
	return image(t, "all", fmt.Sprint("round ", round%4), fmt.Sprint("own ", p, round))
}

func stressOne(t testing.TB, url string, p, round int) {
	i := stressImage(t, p, round)
	repository := fmt.Sprintf("r%d", p)
	if round%3 == 0 { // a mount may fail, as the other may not have it
		from := fmt.Sprintf("r%d", (p+1)%6)
		do(t, http.MethodPost, url+"/v2/"+repository+"/blobs/uploads/?from="+from+"&mount="+i.Blobs[0].Descriptor.Digest.String())
	}
	if err := (oci.Remote{Registry: url, Repository: repository}).Push(context.WithoutCancel(t.Context()), i, fmt.Sprint(round)); err != nil {
		t.Errorf("push %d of %d: %v", round, p, err)
		return
	}
	if err := whole(t, url, repository, fmt.Sprint(round), i); err != nil {
		t.Error(err)
	}
	if round%2 == 1 {
		if status, body := do(t, http.MethodDelete, url+"/v2/"+repository+"/manifests/"+i.Root().Descriptor.Digest.String()); status != http.StatusAccepted {
			t.Errorf("delete: %d %s", status, body)
		}
	}
}
