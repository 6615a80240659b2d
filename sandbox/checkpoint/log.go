package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
)

// cannot is what criu's log says where the kernel is not one for it: nothing
// that was asked for matters then.
const cannot = "failed when initializing kerndat"

// explain adds to an error of criu what its log says went wrong, and where more
// can be read.
func (o *Options) explain(err error, log string) error {
	if !errors.Is(err, errRefused) {
		return err
	}
	path := filepath.Join(o.logDir(), log)
	f, ferr := os.Open(path)
	if ferr != nil {
		return err
	}
	defer f.Close()
	said := complaints(f)
	if len(said) == 0 {
		return fmt.Errorf("%w: see %s", err, path)
	}
	// criu's message is its first complaint.
	err = fmt.Errorf("%w: %s (log: %s)", errRefused, strings.Join(said, "; "), path)
	if strings.Contains(said[len(said)-1], cannot) {
		return fmt.Errorf("criu cannot work on this kernel: %w: %w", err, errdefs.ErrNotImplemented)
	}
	return err
}

// complaint is what a line says has failed. That a page server is not there is no
// "Error" for criu.
func complaint(line string) string {
	if _, text, is := strings.Cut(line, "Error ("); is {
		if _, rest, ok := strings.Cut(text, "): "); ok {
			text = rest
		}
		return strings.TrimSpace(text)
	}
	if _, text, is := strings.Cut(line, ") Can't "); is {
		return "Can't " + strings.TrimSpace(text)
	}
	return ""
}

// complaints are the first lines of a log that tell of errors, which name the
// cause, and the last one, without time and place in the source.
func complaints(log io.Reader) []string {
	const most = 4
	var said []string
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		text := complaint(lines.Text())
		if text == "" {
			continue
		}
		if len(said) == most {
			said[most-1] = text
		} else {
			said = append(said, text)
		}
	}
	return said // a line that is too long ends the reading, and nothing else
}
