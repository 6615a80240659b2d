package cli

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cli/stream"
)

// TestHelpFits: no help has a line that a terminal of 80 columns breaks.
func TestHelpFits(t *testing.T) {
	newFake(t, nil)
	t.Setenv("DOCKER_CONFIG", "/root/.docker")
	pages := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		pages++
		for line := range strings.Lines(usage(cmd)) {
			if line = strings.TrimRight(line, "\n"); utf8.RuneCountInString(line) > 80 {
				t.Errorf("%s --help: %d columns: %s", cmd.CommandPath(), utf8.RuneCountInString(line), line)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	root := newRoot(&Session{IO: &stream.IO{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}}, nil)
	root.SetIn(strings.NewReader(""))
	walk(root)
	if pages < 100 {
		t.Errorf("only %d pages", pages)
	}
}
