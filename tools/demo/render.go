package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/test/measured"
)

// samples is the folder of what was measured.
const samples = "docs/measured"

// keep writes what was measured into the documentation, when that is asked for.
func (s *stage) keep(name string, v any) error {
	if !s.plot {
		return nil
	}
	if err := measured.Save(filepath.Join(samples, name+".json"), v); err != nil {
		return err
	}
	return renderPages(".")
}

// renderPages writes the pages that show samples, below root.
func renderPages(root string) error {
	files, err := rendered(root)
	if err != nil {
		return err
	}
	for path, text := range files {
		if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // documentation
			return err
		}
	}
	return nil
}

// rendered is what the pages below root ought to be, by path.
func rendered(root string) (map[string][]byte, error) {
	var c channelsFile
	var l lampFile
	var h loadFile
	var r rollingFile
	for name, v := range map[string]any{"channels": &c, "lamp": &l, "load": &h, "rolling": &r} {
		if err := measured.Read(filepath.Join(root, samples, name+".json"), v); err != nil {
			return nil, err
		}
	}
	files := map[string][]byte{filepath.Join(root, "docs/channels.svg"): []byte(drawing(c.Results))}
	for _, x := range []struct{ page, name, text string }{
		{"docs/channels.md", "channels", block(c.About, channelsTable(c.Results))},
		{"docs/compose.md", "lamp", block(l.About, lampTable(l))},
		{"docs/compose.md", "rolling", r.text()},
		{"docs/conformance-hub.md", "load", block(h.About, h.text())},
	} {
		path := filepath.Join(root, x.page)
		page, ok := files[path]
		if !ok {
			var err error
			if page, err = os.ReadFile(path); err != nil {
				return nil, err
			}
		}
		page, err := measured.Put(page, x.name, x.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files[path] = page
	}
	return files, nil
}

func block(a measured.About, table string) string {
	return fmt.Sprintf("`%s`, %s:\n\n```\n%s```\n", a.Command, a, table)
}

// rollingFile is what TestRolling measured: what users met in each update.
type rollingFile struct {
	measured.About
	Users   int `json:"users"`
	Updates []struct {
		Answered int `json:"answered"`
		Failed   int `json:"failed"`
	} `json:"updates"`
}

func (f rollingFile) text() string {
	answered, failed := 0, 0
	for _, u := range f.Updates {
		answered, failed = answered+u.Answered, failed+u.Failed
	}
	return fmt.Sprintf("Measured by the test on %s: %d of %d requests of %d users failed in %d updates.\n",
		f.About, failed, answered+failed, f.Users, len(f.Updates))
}
