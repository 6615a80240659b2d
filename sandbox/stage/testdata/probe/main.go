//go:debug containermaxprocs=0

// Command probe is both ends of the tests of package stage: under the names of
// the init stage it is the stage, and inside a container it tells what it
// sees. It is not interested in its CPU limit, whose file the Go runtime would
// keep open and so add to the descriptors that it tells.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/sandbox/stage"
)

// Report is what "probe report" prints.
type Report struct {
	Args, Env, Fds, Mounts []string
	Cwd, Hostname          string
	Status                 map[string]string
	Groups                 []int
	UID, GID, Pid, Umask   int
	Nofile                 unix.Rlimit
}

func main() {
	if stage.IsStage() {
		stage.Main()
	}
	if len(os.Args) < 2 {
		os.Exit(0)
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "report": // to a file, if one is named
		report(args)
	case "write": // tells for each path whether it can be opened for writing
		for _, p := range args {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err == nil {
				f.Close()
			}
			fmt.Println(p, err == nil)
		}
	case "create":
		for _, p := range args {
			fmt.Println(p, os.WriteFile(p, []byte("x"), 0o644) == nil)
		}
	case "stat": // mode, size, rdev
		for _, p := range args {
			var st unix.Stat_t
			if err := unix.Stat(p, &st); err != nil {
				fmt.Println(p, err)
				continue
			}
			fmt.Printf("%s %o %d:%d\n", p, st.Mode, unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
	case "where": // device of the file system
		for _, p := range args {
			var st unix.Stat_t
			err := unix.Stat(p, &st)
			fmt.Println(p, st.Dev, err)
		}
	case "keyring":
		id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
		fmt.Println(id, err)
	case "details": // as a copy has to keep it
		for _, p := range args {
			details(p)
		}
	case "mount": // whether file systems can be made and mounts changed
		fmt.Println(unix.Mount("tmpfs", args[0], "tmpfs", 0, ""))
	case "read":
		for _, p := range args {
			b, err := os.ReadFile(p)
			fmt.Printf("%s %q %v\n", p, b, err)
		}
	case "link":
		target, err := os.Readlink(args[0])
		if err != nil {
			target = err.Error()
		}
		fmt.Println(target)
	case "list":
		entries, err := os.ReadDir(args[0])
		for _, e := range entries {
			fmt.Println(e.Name())
		}
		if err != nil {
			fmt.Println(err)
		}
	case "exit":
		n, _ := strconv.Atoi(args[0])
		os.Exit(n)
	case "pause":
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGTERM, syscall.SIGWINCH)
		fmt.Println("ready")
		fmt.Println((<-ch).String())
		os.Exit(7)
	case "suicide":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "orphan": // leaves a grandchild behind that ends before us
		orphan(args)
	case "syscall":
		for _, a := range args {
			n, _ := strconv.Atoi(a)
			_, _, e := syscall.RawSyscall(uintptr(n), ^uintptr(0), ^uintptr(0), ^uintptr(0))
			fmt.Println(n, int(e))
		}
	case "attributes":
		attributes()
	case "tty":
		size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		fg, e := unix.IoctlGetInt(0, unix.TIOCGPGRP)
		name, _ := os.Readlink("/proc/self/fd/0")
		fmt.Println(size, err, fg == unix.Getpgrp(), e, name)
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Println("line", strings.TrimSpace(line))
	default:
		os.Exit(99)
	}
}

func details(path string) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		fmt.Println(path, err)
		return
	}
	target, _ := os.Readlink(path)
	value := make([]byte, 64)
	n, _ := unix.Lgetxattr(path, "user.x", value)
	caps, _ := unix.Lgetxattr(path, "security.capability", value[32:])
	fmt.Printf("%s %o %d:%d links %d size %d mtime %d rdev %x target %q x %q caps %d\n", path, st.Mode, st.Uid, st.Gid,
		st.Nlink, st.Size, st.Mtim.Sec, st.Rdev, target, value[:max(n, 0)], max(caps, 0))
}

func attributes() {
	// A thread that the runtime made earlier may have others.
	a, err := unix.SchedGetAttr(os.Getpid(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("policy", a.Policy, "nice", a.Nice, "priority", a.Priority, "flags", a.Flags, "runtime", a.Runtime, a.Deadline, a.Period)
	prio, _, _ := syscall.RawSyscall(unix.SYS_IOPRIO_GET, 1, uintptr(os.Getpid()), 0)
	fmt.Println("ioprio", prio>>13, prio&0x1fff)
	var cpus unix.CPUSet
	unix.SchedGetaffinity(os.Getpid(), &cpus)
	fmt.Println("cpus", cpus.Count(), cpus.IsSet(0))
	var mode int32
	var nodes [16]uint64
	syscall.RawSyscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), uintptr(unsafe.Pointer(&nodes)), 1024, 0, 0, 0)
	fmt.Println("memory", mode, nodes[0])
	domain, _, _ := syscall.RawSyscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	fmt.Println("personality", domain)
}

func orphan(args []string) {
	if len(args) == 0 {
		cmd := exec.Command("/probe", "orphan", "middle")
		cmd.Stdout = os.Stdout
		if err := cmd.Run(); err != nil {
			fmt.Println(err)
		}
		// Left are process 1 and this one, once the grandchild is reaped.
		for {
			left := 0
			entries, _ := os.ReadDir("/proc")
			for _, e := range entries {
				if _, err := strconv.Atoi(e.Name()); err == nil {
					left++
				}
			}
			if left == 2 {
				fmt.Println("reaped")
				return
			}
			runtime.Gosched()
		}
	}
	if args[0] == "middle" {
		exec.Command("/probe", "exit", "0").Start()
	}
}

func report(file []string) {
	r := Report{
		Args: os.Args, Env: os.Environ(), Status: map[string]string{}, Pid: os.Getpid(),
		UID: os.Getuid(), GID: os.Getgid(), Umask: unix.Umask(0),
	}
	r.Cwd, _ = syscall.Getwd()
	r.Hostname, _ = os.Hostname()
	r.Groups, _ = os.Getgroups()
	dir, err := os.Open("/proc/self/fd")
	if err == nil {
		names, _ := dir.Readdirnames(-1)
		for _, n := range names {
			target, err := os.Readlink("/proc/self/fd/" + n)
			if n != strconv.Itoa(int(dir.Fd())) && err == nil && !strings.HasPrefix(target, "anon_inode:[event") {
				r.Fds = append(r.Fds, n+" "+target)
			}
		}
		dir.Close()
	}
	b, _ := os.ReadFile("/proc/self/mountinfo")
	r.Mounts = strings.Split(strings.TrimSpace(string(b)), "\n")
	b, _ = os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		r.Status[k] = strings.TrimSpace(v)
	}
	out := os.Stdout
	if len(file) > 0 {
		out, _ = os.Create(file[0])
	}
	json.NewEncoder(out).Encode(r)
}
