package cli

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/test/golden"
)

// What Docker's command line offers, one command or flag a line, as its help
// texts tell, and what of that is not here yet or never will be. The first is
// rewritten from the docker on the PATH by -update.
const (
	stockFile   = "testdata/docker-28.txt"
	missingFile = "testdata/docker-28-missing.txt"
)

// TestStock compares the two trees of commands: every command, alias and flag
// of Docker's with its short form, kind of value and default is here, or listed
// as missing with a reason. What is listed and here after all fails too, so
// the list does not outlive what it says.
func TestStock(t *testing.T) {
	if *golden.Update {
		updateStock(t)
	}
	ours := map[string]bool{}
	walkOurs(Commands(), nil, func(s string) { ours[s] = true })
	missing := readMissing(t)
	used := map[string]bool{}
	for _, line := range readLines(t, stockFile) {
		pattern := missing.covers(line)
		switch {
		case ours[line] && pattern != "" && !strings.HasSuffix(pattern, "*"):
			t.Errorf("%s lists %q, which is here: remove it", missingFile, pattern)
		case !ours[line] && pattern == "":
			t.Errorf("docker has %q; not here, and not in %s", line, missingFile)
		}
		if !ours[line] {
			used[pattern] = true
		}
	}
	for pattern := range missing {
		if !used[pattern] {
			t.Errorf("%s: nothing that matches %q is missing", missingFile, pattern)
		}
	}
}

// missingList is reasons by pattern: a line of the stock file, or its
// beginning and an asterisk.
type missingList map[string]string

func (m missingList) covers(line string) string {
	if _, ok := m[line]; ok {
		return line
	}
	for _, p := range slices.Sorted(maps.Keys(m)) {
		if ok, _ := path.Match(p, line); ok {
			return p
		}
	}
	return ""
}

func readMissing(t *testing.T) missingList {
	t.Helper()
	list := missingList{}
	for _, line := range readLines(t, missingFile) {
		pattern, reason, ok := strings.Cut(line, ": ")
		if !ok || reason == "" {
			t.Errorf("%s: %q has no reason", missingFile, line)
		}
		list[pattern] = reason
	}
	return list
}

func readLines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := s.Text(); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

// walkOurs describes a command and those below it in the stock file's form.
func walkOurs(cmd *cobra.Command, words []string, say func(string)) {
	cmd.InitDefaultHelpFlag()
	describeHelp(strings.ReplaceAll(usage(cmd), "berth ", "docker "), strings.Join(words, " "), say)
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			walkOurs(c, append(slices.Clone(words), c.Name()), say)
		}
	}
}

// updateStock asks the docker on the PATH for its help texts.
func updateStock(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Docker 28's commands, aliases and flags, from its help texts; rewritten by\n#   go test ./cli -run TestStock -update\n")
	var walk func(words []string)
	walk = func(words []string) {
		cmd := exec.CommandContext(t.Context(), "docker", append(slices.Clone(words), "--help")...)
		cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+t.TempDir(), "DOCKER_HOST=unix:///nonexistent")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("docker %q: %v", words, err)
		}
		for _, sub := range describeHelp(string(out), strings.Join(words, " "), func(s string) { fmt.Fprintln(&b, s) }) {
			walk(append(slices.Clone(words), sub))
		}
	}
	walk(nil)
	if err := os.WriteFile(stockFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

var (
	flagLine    = regexp.MustCompile(`^ {2,6}(-\w, )?--([a-z0-9-]+)( [a-zA-Z0-9]+)?(  |$)`)
	defaultText = regexp.MustCompile(`\(default ([^()]*)\)`)
	homeConfig  = regexp.MustCompile(`"[^"]*/(\.docker|docker|00\d)(["/])`) // where config.json is
)

// describeHelp says what a help text offers and returns the names of the
// commands below.
func describeHelp(text, command string, say func(string)) (subcommands []string) {
	if command != "" {
		say(command)
	}
	var flag, words string // the flag being read and all that is said of it
	end := func() {
		if flag == "" {
			return
		}
		if d := defaultText.FindStringSubmatch(strings.Join(strings.Fields(words), " ")); d != nil {
			flag += " = " + homeConfig.ReplaceAllString(d[1], `"CONFIG$2`)
		}
		say(strings.TrimSpace(command + " " + flag))
		flag, words = "", ""
	}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != ' ' {
			end()
			section = line
			continue
		}
		switch {
		case section == "Aliases:" && line != "":
			for a := range strings.SplitSeq(strings.TrimSpace(line), ", ") {
				say(command + " also " + strings.TrimPrefix(a, "docker "))
			}
		case strings.HasSuffix(section, "Commands:") && line != "":
			subcommands = append(subcommands, strings.TrimSuffix(strings.Fields(line)[0], "*"))
		case strings.HasSuffix(section, "Options:"):
			if m := flagLine.FindStringSubmatch(line); m != nil {
				end()
				flag = m[1] + "--" + m[2] + m[3]
				line = line[len(m[0]):]
			}
			words += " " + line
		}
	}
	end()
	return subcommands
}
