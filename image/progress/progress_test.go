package progress

import (
	"testing"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
)

// TestStream: a listener that takes nothing has a bounded backlog and misses
// no change of state; one that comes late learns the latest.
func TestStream(t *testing.T) {
	var p Stream
	counts := func(n int64) jsonstream.Message {
		return jsonstream.Message{ID: "l", Status: "Downloading", Progress: &jsonstream.Progress{Current: n, Total: 9999}}
	}
	slow := make(chan jsonstream.Message)
	done := make(chan error)
	go func() { done <- p.Follow(t.Context(), func(m jsonstream.Message) { slow <- m }) }()
	p.Line("1", "Pulling from x")
	if m := <-slow; m.Status != "Pulling from x" {
		t.Errorf("%+v", m)
	}
	for i := range int64(5000) {
		p.Send(counts(i + 1))
	}
	p.Line("l", "Download complete")
	p.Line("", "Digest: y")
	p.Line("", "Status: z")
	var late []string
	go func() {
		done <- p.Follow(t.Context(), func(m jsonstream.Message) { late = append(late, m.ID+m.Status) })
	}()
	p.Close()
	var states []string
	n := 0
	for waiting := 2; waiting > 0; {
		select {
		case m := <-slow:
			n++
			if len(states) == 0 || states[len(states)-1] != m.Status {
				states = append(states, m.Status)
			}
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			waiting--
		}
	}
	if len(states) != 4 || states[0] != "Downloading" || n > 10 {
		t.Errorf("%d messages, %q", n, states)
	}
	if len(late) != 4 || late[1] != "lDownload complete" || late[3] != "Status: z" {
		t.Errorf("%q", late)
	}
	c := p.Counter("sha256:abc", "Extracting", 10)
	c.next = time.Now().Add(time.Hour)
	c.At(5)
	c.At(10) // the last is never left out
	if m := p.latest[len(p.latest)-1]; m.ID != "abc" || m.Progress.Current != 10 {
		t.Errorf("%+v", m)
	}
}
