package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// gitInfo is buildx's switch for asking git what the context is a version of.
const gitInfo = "BUILDX_GIT_INFO"

// spareGit has git not be asked about a context that no repository has: starting
// it takes a tenth of a build that is wholly cached.
func spareGit(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() != "build" {
			continue
		}
		run := c.RunE
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && os.Getenv(gitInfo) == "" && os.Getenv("GIT_DIR") == "" && outsideGit(args[0]) {
				if err := os.Setenv(gitInfo, "false"); err != nil {
					return err
				}
			}
			return run(cmd, args)
		}
	}
}

// outsideGit tells whether a path is a directory that is surely in no work tree.
func outsideGit(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	dir, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return false
	}
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); !errors.Is(err, os.ErrNotExist) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
