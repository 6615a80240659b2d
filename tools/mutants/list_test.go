package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Every defence that can be built out has a test, a line in the list and one
// in the threat model; and the list names nothing else.
func TestListIsComplete(t *testing.T) {
	const root = "../.."
	all, err := readList(root)
	if err != nil {
		t.Fatal(err)
	}
	without, with, err := tagsInTree(root)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(root + "/docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for i := range all {
		d := &all[i]
		tags = append(tags, d.tag)
		if without[d.tag] != 1 || with[d.tag] != 1 {
			t.Errorf("%s: want one pair of files, there are %d with and %d without the defence", d.tag, with[d.tag], without[d.tag])
		}
		if !strings.Contains(string(doc), "`"+d.tag+"`") {
			t.Errorf("%s is not in docs/security.md", d.tag)
		}
	}
	if !slices.IsSorted(tags) {
		t.Error("the list is not sorted")
	}
	for tag := range without {
		if !slices.Contains(tags, tag) {
			t.Errorf("%s is not in %s", tag, listFile)
		}
	}
	if len(slices.Compact(tags)) != len(all) {
		t.Error("a tag is listed twice")
	}
}
