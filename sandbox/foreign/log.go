package foreign

import (
	"bytes"
	"io"
	"os"

	"github.com/berth-engine/berth/sandbox/state"
)

// maxLog is how much of the end of a log is looked at.
const maxLog = 64 << 10

// lastError finds the last message in a log as runtimes write it with
// --log-format json: one object a line, with a member "msg". It is empty if
// there is none.
func lastError(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxLog {
		_, _ = f.Seek(-maxLog, io.SeekEnd) // else its beginning has to do
	}
	text, err := io.ReadAll(io.LimitReader(f, maxLog))
	if err != nil {
		return ""
	}
	last := ""
	for line := range bytes.Lines(text) {
		if m := message(line); m != "" {
			last = m
		}
	}
	return last
}

// message reads "msg" of a line. What the words are is up to the runtime, so
// that anything readable will do.
func message(line []byte) string {
	_, rest, ok := bytes.Cut(line, []byte(`"msg":`))
	if !ok {
		return ""
	}
	rest = bytes.TrimSpace(rest)
	end := 1
	for end < len(rest) && rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(rest) {
		return ""
	}
	text, _ := state.ReadString(rest[:end+1])
	return text
}
