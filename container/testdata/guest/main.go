// Guest is the program of the test image.
package main

import (
	"bytes"
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
)

func main() {
	args := os.Args[1:]
	switch args[0] {
	case "true":
	case "exit":
		code, err := strconv.Atoi(args[1])
		check(err)
		os.Exit(code)
	case "echo":
		fmt.Println(strings.Join(args[1:], " "))
	case "both":
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		check(err)
	case "read":
		b, err := os.ReadFile(args[1])
		check(err)
		_, err = os.Stdout.Write(b)
		check(err)
	case "write":
		check(os.WriteFile(args[1], []byte(args[2]), 0o644))
	case "count":
		n := 0
		if b, err := os.ReadFile(args[1]); err == nil {
			n, _ = strconv.Atoi(string(b))
		}
		check(os.WriteFile(args[1], []byte(strconv.Itoa(n+1)), 0o644))
		os.Exit(1)
	case "ls":
		names, err := filepath.Glob(args[1] + "/*")
		check(err)
		fmt.Println(strings.Join(names, " "))
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "whoami":
		groups, err := os.Getgroups()
		check(err)
		wd, err := os.Getwd()
		check(err)
		host, err := os.Hostname()
		check(err)
		fmt.Println(os.Getuid(), os.Getgid(), groups, wd, host)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		for {
			time.Sleep(time.Hour)
		}
	case "eat": // memory, in a child that is killed for it; and tell
		cmd := exec.Command("/proc/self/exe", "eater")
		fmt.Println("eater:", cmd.Run())
		select {}
	case "eater":
		for all := [][]byte{}; ; all = append(all, bytes.Repeat([]byte{1}, 1<<20)) {
		}
	case "sleep":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM, syscall.SIGUSR1)
		fmt.Println("ready")
		sig := <-c
		fmt.Println("got", sig)
		if sig == syscall.SIGTERM {
			os.Exit(7)
		}
		<-c
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
}
