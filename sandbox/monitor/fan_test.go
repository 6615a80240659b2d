package monitor

import (
	"io"
	"testing"
	"time"
)

// TestFlush: a client gets all that was output before the monitor ends; one that
// takes nothing is not waited for.
func TestFlush(t *testing.T) {
	const size = 4 << 20 // more than sockets hold
	for name, isRead := range map[string]bool{"slow": true, "stalled": false} {
		t.Run(name, func(t *testing.T) {
			ours, theirs, err := Pair()
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			defer theirs.Close()
			f := newFan()
			f.lift()
			c := f.add(ours, Attach{Stdout: true})
			f.output(1, make([]byte, size))
			f.end()
			go c.run()
			read := make(chan int64, 1)
			stalls := time.Millisecond
			if isRead {
				stalls = time.Minute
				go func() {
					n, _ := io.Copy(io.Discard, theirs) // what is wrong, the count says
					read <- n
				}()
			}
			f.flush(stalls, time.Minute)
			select {
			case <-c.done:
				if !isRead {
					t.Error("all was taken by nobody")
				}
			default:
				if isRead {
					t.Error("it was not waited for")
				}
			}
			if isRead {
				if n := <-read; n != size+frameHead {
					t.Errorf("%d bytes arrived, of %d", n, size+frameHead)
				}
			}
		})
	}
}
