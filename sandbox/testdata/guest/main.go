// Guest is the program that tests run in containers: os.Args[1] says what it
// does.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	switch os.Args[1] {
	case "exit":
		os.Exit(number(2))
	case "echo":
		fmt.Println(os.Args[2])
		if len(os.Args) > 3 {
			fmt.Fprintln(os.Stderr, os.Args[3])
		}
	case "cat":
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			os.Exit(9)
		}
		fmt.Print("EOF")
	case "spew": // bytes that depend on their position
		spew(number(2))
	case "wait": // for a signal, whose number becomes the exit code
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM, syscall.SIGUSR1)
		fmt.Println("ready")
		os.Exit(int((<-c).(syscall.Signal)))
	case "sleep":
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "lines": // one by one, each after a byte of input
		in := bufio.NewReader(os.Stdin)
		for i := 0; ; i++ {
			fmt.Println("line", i)
			if _, err := in.ReadByte(); err != nil {
				return
			}
		}
	case "child": // leaves a child behind that holds the output
		cmd := exec.Command("/proc/self/exe", "sleep")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Println("left")
	case "size": // of the terminal, now and after each change
		c := make(chan os.Signal, 8)
		signal.Notify(c, syscall.SIGWINCH)
		for {
			var ws [4]uint16
			_, _, e := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&ws)))
			fmt.Println("size", ws[0], ws[1], int(e))
			<-c
		}
	case "put": // a file with what is written in it, then waits
		if err := os.WriteFile(os.Args[2], []byte(os.Args[3]), 0o666); err != nil {
			panic(err)
		}
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "get": // files, and who they belong to
		for _, name := range os.Args[2:] {
			b, err := os.ReadFile(name)
			if err != nil {
				panic(err)
			}
			var st syscall.Stat_t
			if err := syscall.Stat(name, &st); err != nil {
				panic(err)
			}
			fmt.Printf("%s %d:%d %s\n", name, st.Uid, st.Gid, b)
		}
	case "look": // at what there is of itself and of everybody in its pid namespace
		look()
	case "massacre": // of everybody that it sees
		fmt.Println(syscall.Kill(-1, syscall.SIGKILL))
	case "grab": // what others have open, until killed
		fmt.Println("ready")
		for {
			grab()
		}
	case "eat": // memory until killed
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
		}
	}
}

func number(i int) int {
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return n
}

func spew(n int) {
	out := bufio.NewWriterSize(os.Stdout, 60000)
	for i := 0; i < n; i++ {
		c := byte(i*7 + i>>8*13 + i>>16*17)
		if i%100 == 99 {
			c = '\n'
		}
		if err := out.WriteByte(c); err != nil {
			panic(err)
		}
	}
	if err := out.Flush(); err != nil {
		panic(err)
	}
}

func look() {
	cwd, err := os.Getwd()
	fmt.Println("in", cwd, err, "below", os.Getppid())
	fmt.Printf("environment %q\n", os.Environ())
	paths, _ := filepath.Glob("/proc/self/fd/*")
	for _, p := range paths {
		target, err := os.Readlink(p)
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") { // Go's own, and the one that read the list
			fmt.Println("descriptor", filepath.Base(p), strings.TrimRight(target, "0123456789[]"))
		}
	}
	paths, _ = filepath.Glob("/proc/[0-9]*/exe")
	for _, p := range paths {
		name, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "comm"))
		target, err := os.Readlink(p)
		fmt.Printf("sees %q %s %v\n", strings.TrimSpace(string(name)), target, err)
	}
}

// grab tells of every socket that another process has open, and of every one that
// can be traced before it has executed its program.
func grab() {
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range paths {
		pid, _ := strconv.Atoi(filepath.Base(p))
		if pid == 1 || pid == os.Getpid() {
			continue
		}
		if target, _ := os.Readlink(p + "/fd/3"); strings.HasPrefix(target, "socket:") {
			fmt.Println("taken", target)
		}
		if exe, _ := os.Readlink(p + "/exe"); strings.HasPrefix(exe, "/memfd:") {
			fmt.Println("looked into", exe)
		}
	}
}
