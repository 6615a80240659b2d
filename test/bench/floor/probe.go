package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// containerNamespaces are those that a process of a container has for itself.
const containerNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// probe executes /bin/true in each of the containers once a second, by entering
// the namespaces of its process 1, fork and exec, and nothing else; spread over
// the second. It prints how much of a processor that took, in percent.
func probe(list string, d time.Duration) error {
	var files []int
	for s := range strings.SplitSeq(list, ",") {
		pid, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
		files = append(files, fd)
	}
	begin := time.Now()
	work := make(chan int)
	failed := make(chan error, 1)
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			runtime.LockOSThread() // for good: it is changed
			err := os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_FS))
			for fd := range work {
				if err == nil {
					err = enter(fd)
				}
			}
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	step := time.Second / time.Duration(len(files))
	n := 0
	for ; time.Since(begin) < d; n++ {
		time.Sleep(time.Until(begin.Add(time.Duration(n) * step)))
		work <- files[n%len(files)]
	}
	took := time.Since(begin)
	close(work)
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	var cpu time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return err
		}
		cpu += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	fmt.Fprintf(os.Stdout, "%.2f\n", 100*cpu.Seconds()/took.Seconds())
	return nil
}

// enter runs the program in the container of a pidfd. The thread stays there
// until the next one.
func enter(fd int) error {
	if err := unix.Setns(fd, containerNamespaces); err != nil {
		return os.NewSyscallError("setns", err)
	}
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Env: []string{"PATH=/bin"}})
	if err != nil {
		return err
	}
	var ws syscall.WaitStatus
	for {
		_, err = syscall.Wait4(pid, &ws, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil && ws.ExitStatus() != 0 {
		err = fmt.Errorf("true ended with %d", ws.ExitStatus())
	}
	return err
}
