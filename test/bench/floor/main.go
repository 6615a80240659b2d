// Command floor does with bare system calls what a default container asks of
// the kernel, and nothing around it: a network namespace with a veth on a
// bridge, a group in every cgroup hierarchy, an overlay, new mount, pid, ipc,
// uts and cgroup namespaces, the usual mounts, masked and read-only paths,
// pivot_root, capabilities, the seccomp filter that the engine loads, exec of a
// static program, its exit, and the tear-down. It prints how long that takes,
// how much processor time of this program and its children, and where it goes.
// What an engine takes beyond this is the engine's own.
//
//	floor -rootfs DIR [-n 1] [-at-once 1] [-json]   DIR/lower holds bin/true, DIR/filter the filter
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
//
// With -stamp, as the program of a container, it prints when it began to run, in
// nanoseconds since 1970.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-stamp" {
		fmt.Println(time.Now().UnixNano())
		return
	}
	if len(os.Args) == 2 && os.Args[0] == childName {
		fmt.Fprintln(os.Stderr, "floor child:", child(os.Args[1]))
		os.Exit(1)
	}
	rootfs := flag.String("rootfs", "", "folder with lower/bin/true, a static program, and filter, a seccomp program")
	n := flag.Int("n", 1, "how many times")
	atOnce := flag.Int("at-once", 1, "how many of them at once")
	asJSON := flag.Bool("json", false, "print the samples as JSON")
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
	m, err := measure(*rootfs, *n, *atOnce)
	if err == nil {
		if *asJSON {
			err = json.NewEncoder(os.Stdout).Encode(m)
		} else {
			err = m.print(os.Stdout)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}
