// Command floor does with bare system calls what a default container asks of
// the kernel, and nothing around it: a network namespace with a veth on a
// bridge, a group in every cgroup hierarchy, an overlay, new mount, pid, ipc,
// uts and cgroup namespaces, the usual mounts, masked and read-only paths,
// pivot_root, capabilities, a seccomp filter of the usual size, exec of a
// static program, its exit, and the tear-down. It prints one time in
// milliseconds a line. What an engine takes beyond this is the engine's own.
//
//	floor -rootfs DIR [-n 1]   DIR/lower holds bin/true
//
// With -probe it does what a health check asks: it prints the percentage of a
// processor that setns, fork and exec take, once a second in each of the given
// processes' namespaces.
//
//	floor -probe PID,PID,… [-for 10s]
//
// With -unpack it does what an image asks, whose layers are gzip files in a folder,
// named by their SHA-256: it prints the wall and the processor time in milliseconds
// in which they are read, verified, inflated and written to files.
//
//	floor -unpack LAYERS -into DIR
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
)

func main() {
	if len(os.Args) == 2 && os.Args[0] == childName {
		fmt.Fprintln(os.Stderr, "floor child:", child(os.Args[1]))
		os.Exit(1)
	}
	rootfs := flag.String("rootfs", "", "folder with lower/bin/true, a static program")
	n := flag.Int("n", 1, "how many times")
	pids := flag.String("probe", "", "instead, run true each second in the namespaces of these processes, comma separated")
	d := flag.Duration("for", 10*time.Second, "how long to do so")
	layers := flag.String("unpack", "", "instead, unpack the layers in this folder")
	into := flag.String("into", "", "-unpack: folder to write to")
	flag.Parse()
	if *layers != "" {
		if err := unpack(*layers, *into); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(1)
		}
		return
	}
	if *pids != "" {
		if err := probe(*pids, *d); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(1)
		}
		return
	}
	runtime.LockOSThread()
	f, err := newFloor(*rootfs)
	if err == nil {
		for range *n {
			start := time.Now()
			if err = f.once(); err != nil {
				break
			}
			fmt.Fprintf(os.Stdout, "%.3f\n", float64(time.Since(start).Microseconds())/1000)
		}
		err = f.close(err)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}
