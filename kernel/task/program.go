package task

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ForgetProgram takes the pages of the process's program that nothing can have
// changed out of its memory. The kernel has them in its cache, and gives back
// those that are used again: a program that has started uses a part of itself.
func ForgetProgram() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		begin, end, ok := constant(lines.Text(), exe)
		if !ok {
			continue
		}
		if _, _, e := unix.RawSyscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_DONTNEED); e != 0 {
			return os.NewSyscallError("madvise", e)
		}
	}
	return nil
}

// constant reads a line of /proc/PID/maps (proc(5)): a mapping of the file exe that
// nobody can write to.
func constant(line, exe string) (begin, end uintptr, ok bool) {
	var rights, offset, device, inode string
	if n, err := fmt.Sscanf(line, "%x-%x %s %s %s %s", &begin, &end, &rights, &offset, &device, &inode); n != 6 || err != nil {
		return 0, 0, false
	}
	return begin, end, strings.HasSuffix(line, " "+exe) && rights[1] == '-' && rights[3] == 'p'
}

// ProcessorTime is what this process has taken so far, its children left out.
func ProcessorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
