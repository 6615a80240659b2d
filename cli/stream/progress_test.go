package stream

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/jsonstream"

	"github.com/berth-engine/berth/test/golden"
)

func messages(list ...jsonstream.Message) iter.Seq2[jsonstream.Message, error] {
	return func(yield func(jsonstream.Message, error) bool) {
		for _, m := range list {
			if !yield(m, nil) {
				return
			}
		}
		yield(jsonstream.Message{}, io.EOF)
	}
}

func layer(id, status string, current, total int64) jsonstream.Message {
	return jsonstream.Message{ID: id, Status: status, Progress: &jsonstream.Progress{Current: current, Total: total}}
}

func pull() iter.Seq2[jsonstream.Message, error] {
	return messages(
		jsonstream.Message{ID: "latest", Status: "Pulling from library/x"},
		layer("aaaaaaaaaaaa", "Pulling fs layer", 0, 0),
		layer("bbbbbbbbbbbb", "Pulling fs layer", 0, 0),
		layer("cccccccccccc", "Pulling fs layer", 0, 0),
		layer("aaaaaaaaaaaa", "Downloading", 1_000_000, 4_000_000),
		layer("cccccccccccc", "Downloading", 512, 0),
		layer("aaaaaaaaaaaa", "Download complete", 0, 0),
		layer("aaaaaaaaaaaa", "Extracting", 4_000_000, 4_000_000),
		layer("bbbbbbbbbbbb", "Already exists", 0, 0),
		layer("aaaaaaaaaaaa", "Pull complete", 0, 0),
		jsonstream.Message{Status: "Digest: sha256:00"},
		jsonstream.Message{Status: "Status: Downloaded newer image for x:latest"},
	)
}

func TestProgressTerminal(t *testing.T) {
	for name, p := range map[string]*Progress{
		"terminal.golden": {Rows: 24, Cols: 80},
		"wide.golden":     {Rows: 24, Cols: 120},
		"low.golden":      {Rows: 2, Cols: 80}, // only the last line can be reached
		"plain.golden":    {},
	} {
		var b bytes.Buffer
		p.Out = &b
		if err := p.Show(pull()); err != nil {
			t.Fatal(err)
		}
		golden.Compare(t, name, strings.NewReplacer("\x1b", "ESC", "\r", "CR").Replace(b.String()))
	}
}

// TestProgressScreen plays the output on a small screen: the lines must stand
// where they were first written.
func TestProgressScreen(t *testing.T) {
	var b bytes.Buffer
	p := &Progress{Out: &b, Rows: 24, Cols: 80}
	if err := p.Show(pull()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"latest: Pulling from library/x",
		"aaaaaaaaaaaa: Pull complete",
		"bbbbbbbbbbbb: Already exists",
		"cccccccccccc: Downloading     512B",
		"Digest: sha256:00",
		"Status: Downloaded newer image for x:latest",
		"",
	}
	if got := screen(t, b.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func screen(t *testing.T, s string) []string {
	t.Helper()
	lines, row := []string{""}, 0
	for len(s) > 0 {
		switch {
		case s[0] == '\n':
			if row++; row == len(lines) {
				lines = append(lines, "")
			}
			s = s[1:]
		case s[0] == '\r':
			s = s[1:]
		case strings.HasPrefix(s, "\x1b["):
			end := strings.IndexAny(s, "ABK")
			n, err := strconv.Atoi(s[2:end])
			if err != nil {
				t.Fatal(err)
			}
			switch s[end] {
			case 'A':
				row -= n
			case 'B':
				row += n
			case 'K':
				lines[row] = ""
			}
			s = s[end+1:]
		default:
			lines[row] += s[:1]
			s = s[1:]
		}
	}
	return lines
}

func TestProgressError(t *testing.T) {
	p := &Progress{Out: io.Discard}
	err := p.Show(messages(jsonstream.Message{Error: &jsonstream.Error{Message: "manifest unknown"}}))
	var je *jsonstream.Error
	if !errors.As(err, &je) || je.Message != "manifest unknown" {
		t.Errorf("got %v", err)
	}
}

func TestBarTimeLeft(t *testing.T) {
	p := &Progress{Cols: 80, Now: func() time.Time { return time.Unix(1010, 0) }}
	got := p.bar(&jsonstream.Progress{Current: 25, Total: 100, Start: 1000})
	if got != "     25B/100B 30s" {
		t.Errorf("got %q", got)
	}
	if got := p.bar(&jsonstream.Progress{Current: 3, Total: 4, Units: "layers"}); got != "3/4 layers" {
		t.Errorf("got %q", got)
	}
}
