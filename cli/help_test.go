package cli

import (
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/golden"
)

func TestHelp(t *testing.T) {
	newFake(t, nil)
	for name, args := range map[string][]string{
		"help.golden": {"--help"}, "help-container.golden": {"container", "--help"}, "help-ps.golden": {"ps", "--help"}, "help-exec.golden": {"exec", "--help"},
		"help-run.golden": {"run", "--help"}, "help-image.golden": {"help", "image"},
	} {
		t.Setenv("DOCKER_CONFIG", "/root/.docker")
		code, out, errs := runCLI(t, "", args...)
		if code != 0 || errs != "" {
			t.Errorf("%q: got %d, %q", args, code, errs)
		}
		golden.Compare(t, name, out)
	}
	if code, out, _ := runCLI(t, "", "--version"); code != 0 || out != "Berth version 1.2, build abc\n" {
		t.Errorf("got %d, %q", code, out)
	}
	if code, out, errs := runCLI(t, ""); code != 0 || out != "" || !strings.HasPrefix(errs, "Usage:  berth [OPTIONS] COMMAND\n") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
}
