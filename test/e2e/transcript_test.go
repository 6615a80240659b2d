package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

var (
	rewrite = flag.Bool("update", false, "rewrite what stories compare with: transcripts, docs/containers.md")
	oracle  = flag.String("oracle", "", "address of Debian's dockerd 20.10 with a busybox image: write down where it answers otherwise")
)

// TestTranscripts types what testdata/transcripts holds into a shell, with the
// stock docker client, and compares what comes back. Each file has an engine
// of its own and ends with the leak check.
//
// A line that begins with "$ " is typed; below it stand its output, its error
// output behind "2> ", and its exit status in brackets unless that is 0. What
// differs from run to run is replaced by a name in angle brackets, and blanks
// between columns are cut to three. Lines that begin with "# " are comments.
//
// Lines that begin with "## " are what Docker 20.10 answers where that differs:
// texts here are those of Docker 28 and later, where they are known, or there
// is a reason. They are not compared, but written by
// go test -run TestTranscripts -oracle unix:///….
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { transcript(t, file) })
	}
}

func transcript(t *testing.T, file string) {
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var env []string
	if *oracle != "" {
		env = []string{"DOCKER_HOST=" + *oracle, "DOCKER_CONFIG=" + dir, "HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	} else {
		d := newDaemon(t)
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"pull", "-q", "busybox"}, {"run", "--rm", "busybox", "true"}} {
			if out, err := client(t, d, append([]string{"docker"}, args...)...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		before := idle(t, d)
		defer noLeak(t, d, before)
		env = d.Environ()
		defer func(d *engine.Daemon) {
			if t.Failed() {
				t.Logf("berthd's log:\n%s", tail(d.Log(), 40))
			}
		}(d)
	}
	got := typeAll(t, string(want), dir, append(env, "TZ=UTC", "LC_ALL=C"))
	switch {
	case *rewrite || *oracle != "":
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != string(want):
		t.Errorf("%s:\n%s", file, lineDiff(t, string(want), got))
	}
}

// entry is a command of a transcript with its answer and, unless it is the
// same, Docker 20.10's; or a comment.
type entry struct{ comment, command, answer, docker string }

func readTranscript(text string) []entry {
	var all []entry
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, entry{command: strings.TrimSpace(command)})
			continue
		}
		docker, ok := strings.CutPrefix(line, "## ")
		switch {
		case strings.HasPrefix(line, "# ") || line == "\n":
			all = append(all, entry{comment: line})
		case ok && len(all) > 0:
			all[len(all)-1].docker += docker
		case len(all) > 0:
			all[len(all)-1].answer += line
		}
	}
	return all
}

// typeAll runs the commands of a transcript one after the other and returns
// the transcript that comes out.
func typeAll(t *testing.T, text, dir string, env []string) string {
	var out strings.Builder
	for _, e := range readTranscript(text) {
		if e.command == "" {
			out.WriteString(e.comment)
			continue
		}
		answer := typed(t, e.command, dir, env)
		if *oracle == "" {
			e.answer = answer
		} else {
			e.docker = answer
		}
		if e.docker == e.answer {
			e.docker = ""
		}
		out.WriteString("$ " + e.command + "\n" + e.answer)
		for line := range strings.Lines(e.docker) {
			out.WriteString("## " + line)
		}
	}
	return out.String()
}

func typed(t *testing.T, command, dir string, env []string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &stdout, &stderr
	err := cmd.Run()
	var b strings.Builder
	for line := range strings.Lines(normal(stdout.String(), dir)) {
		b.WriteString(strings.TrimRight(line, " \r\n") + "\n")
	}
	for line := range strings.Lines(normal(stderr.String(), dir)) {
		b.WriteString(strings.TrimRight("2> "+line, " \r\n") + "\n")
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		fmt.Fprintf(&b, "[%d]\n", code)
	} else if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	// Comments and commands are told from output by their first characters.
	return regexp.MustCompile(`(?m)^(\$ |#|\n)`).ReplaceAllString(b.String(), " $1")
}

// variable is what differs from run to run.
var variable = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\b(sha256:)?[0-9a-f]{64}\b`), "<id>"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "<id>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "<time>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} UTC`), "<time>"},
	{regexp.MustCompile(`([Aa]bout an? |[Ll]ess than a )?(\d+ )?(second|minute|hour|day|week|month|year)s?( ago)?\b`), "<while>$4"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(kB|MB|GB|KiB|MiB|GiB)`), "<size>"},
	{regexp.MustCompile(`\b172\.\d+\.\d+\.\d+\b`), "<ip>"},
	{regexp.MustCompile(`\b(02|[0-9a-f][26ae])(:[0-9a-f]{2}){5}\b`), "<mac>"},
	{regexp.MustCompile(`dial tcp: lookup .*`), "dial tcp: <failure>"},
	{regexp.MustCompile(` {3,}`), "   "},
}

func normal(text, dir string) string {
	text = strings.ReplaceAll(text, dir, "<dir>")
	for _, v := range variable {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text
}

// lineDiff lets diff tell two texts apart.
func lineDiff(t *testing.T, want, got string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"want": want, "got": got} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "diff", "-u", "want", "got")
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput() // it fails because they differ
	return string(out)
}
