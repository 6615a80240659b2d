package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// self tells everything that a container is made of, by sections.
func self() {
	cwd, _ := os.Getwd()
	fmt.Printf("== process\ncwd %s\numask %04o\nargs %q\n", cwd, unix.Umask(0), os.Args)
	for _, e := range os.Environ() {
		fmt.Println("env", e)
	}
	fmt.Println("== descriptors")
	fds()
	fmt.Println("== status")
	copyFile("/proc/self/status")
	fmt.Println("== namespaces")
	entries, _ := os.ReadDir("/proc/self/ns")
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/ns/" + e.Name())
		fmt.Println(e.Name(), target)
	}
	fmt.Println("== limits")
	copyFile("/proc/self/limits")
	fmt.Println("== mounts")
	copyFile("/proc/self/mountinfo")
	fmt.Println("== dev")
	_ = filepath.WalkDir("/dev", func(p string, e fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err != nil || unix.Lstat(p, &st) != nil {
			return nil
		}
		target, _ := os.Readlink(p)
		fmt.Printf("%s %s %d:%d %d:%d %s\n", p, e.Type(), st.Uid, st.Gid, unix.Major(st.Rdev), unix.Minor(st.Rdev), target)
		fmt.Printf("%s mode %o\n", p, st.Mode&0o7777)
		return nil
	})
	fmt.Println("== root")
	entries, _ = os.ReadDir("/")
	for _, e := range entries {
		fmt.Println(strings.TrimSuffix(e.Name(), "\n"))
	}
	fmt.Println("== writable")
	writable()
}
