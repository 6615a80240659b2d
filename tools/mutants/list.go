package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// listFile says which tests a defence has.
const listFile = "test/defences.txt"

// stories is the package whose tests need the programs.
const stories = "test/e2e/attack"

// A defence can be built out.
type defence struct {
	tag   string
	tests []string // "PACKAGE TestNAME", sorted
}

// readList reads listFile below root.
func readList(root string) ([]defence, error) {
	f, err := os.Open(filepath.Join(root, listFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []defence
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		tag, list, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("%s: %q: want TAG: PACKAGE TestNAME", listFile, line)
		}
		d := defence{tag: tag, tests: strings.Split(list, ", ")}
		for _, t := range d.tests {
			if pkg, name, ok := strings.Cut(t, " "); !ok || pkg == "" || !strings.HasPrefix(name, "TestAttack") {
				return nil, fmt.Errorf("%s: %s: %q: want PACKAGE TestAttackNAME", listFile, tag, t)
			}
		}
		slices.Sort(d.tests)
		all = append(all, d)
	}
	return all, nil
}

// in returns the tests of the stories, or those of all other packages.
func (d *defence) in(isStory bool) []string {
	return slices.DeleteFunc(slices.Clone(d.tests), func(t string) bool {
		return strings.HasPrefix(t, stories+" ") != isStory
	})
}

// packages of all tests but the stories.
func packages(all []defence) []string {
	var out []string
	for i := range all {
		for _, t := range all[i].in(false) {
			pkg, _, _ := strings.Cut(t, " ")
			out = append(out, "./"+pkg)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// heavy packages link all of the engine, and what they test is only their own:
// they are built for defences of their own.
var heavy = []string{"./server"}

// concerned are the packages that are tested without the defence: its own, and
// all others that are not heavy.
func (d *defence) concerned(pkgs []string) []string {
	return slices.DeleteFunc(slices.Clone(pkgs), func(pkg string) bool {
		own := slices.ContainsFunc(d.tests, func(t string) bool { return strings.HasPrefix("./"+t, pkg+" ") })
		return slices.Contains(heavy, pkg) && !own
	})
}

var constraint = regexp.MustCompile(`(?m)^//go:build (!?)nodefence_([a-z0-9]+)$`)

// tagsInTree finds the tags by the files that have them: how often as what
// takes a defence out, and how often as the defence.
func tagsInTree(root string) (without, with map[string]int, err error) {
	without, with = map[string]int{}, map[string]int{}
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == ".git" || e.Name() == "bin" || e.Name() == ".cache") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range constraint.FindAllStringSubmatch(string(text), -1) {
			if m[1] == "" {
				without[m[2]]++
			} else {
				with[m[2]]++
			}
		}
		return nil
	})
	return without, with, err
}
