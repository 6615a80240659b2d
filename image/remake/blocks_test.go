package remake

import (
	"io"
	"testing"
	"testing/synctest"
)

// TestLeftInTheMiddle: a blob of which nobody wants the rest leaves no goroutine.
func TestLeftInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		pack, err := Recipe{Kind: parallel, Head: make([]byte, pgzipHead), Level: 6}.packer(discardHead(w), 2)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if _, err := pack.Write(words(3 * pgzipBlock)); err != nil {
			t.Error(err) // it is compressed later
		}
		synctest.Wait()
		if _, err := pack.Write(nil); err != io.ErrClosedPipe {
			t.Errorf("a write to what nobody reads: %v", err)
		}
		if err := pack.Close(); err != io.ErrClosedPipe {
			t.Errorf("the end of what nobody reads: %v", err)
		}
	})
}

// discardHead takes the header for a reader that is gone.
func discardHead(w io.Writer) io.Writer { return &skipping{w: w, left: pgzipHead} }
