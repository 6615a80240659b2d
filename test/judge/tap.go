package main

import (
	"bufio"
	"io"
	"regexp"
	"strings"
)

// The outcomes of a case. A case that was planned but never reported has failed.
const (
	pass = "pass"
	fail = "fail"
	skip = "skip"
)

// A verdict is one line of a judge: what it looked at and how that ended.
type verdict struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	// Detail is why a case was skipped, or the first lines of what it said
	// when it failed.
	Detail string `json:"detail,omitempty"`
}

var (
	tapLine = regexp.MustCompile(`^(not ok|ok) (\d+)(.*)$`)
	tapSkip = regexp.MustCompile(`(?i)(?:^|\s)# skip\w*\s*(.*)$`)
)

// detailLines bounds how much of what a failed case said is kept.
const (
	detailLines = 20
	detailWidth = 300 // bytes of a line
)

// readTAP reads the results of the Test Anything Protocol, as bats and
// runtime-tools print them, with the comments below each failed one.
func readTAP(r io.Reader) ([]verdict, error) {
	var all []verdict
	kept := 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if m := tapLine.FindStringSubmatch(line); m != nil {
			v := verdict{Outcome: pass}
			rest := m[3]
			if why := tapSkip.FindStringSubmatchIndex(rest); why != nil {
				v.Outcome, v.Detail = skip, rest[why[2]:why[3]]
				rest = rest[:why[0]]
			}
			if m[1] == "not ok" {
				v.Outcome = fail
			}
			if v.Name = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest), "-")); v.Name == "" {
				v.Name = "case " + m[2]
			}
			all, kept = append(all, v), 0
			continue
		}
		if len(all) > 0 && all[len(all)-1].Outcome == fail && kept < detailLines && says(line) {
			last := &all[len(all)-1]
			line = line[:min(len(line), detailWidth)]
			last.Detail = strings.TrimPrefix(last.Detail+"\n"+strings.TrimPrefix(strings.TrimSpace(line), "# "), "\n")
			kept++
		}
	}
	return all, lines.Err()
}

// says tells a line with content from the protocol's own.
func says(line string) bool {
	line = strings.TrimSpace(line)
	for _, p := range []string{"1..", "TAP version", "---", "...", "{", "}"} {
		if strings.HasPrefix(line, p) {
			return false
		}
	}
	return line != ""
}
