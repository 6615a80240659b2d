package network

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/kernel/netlink"
)

// inside is set in the process that runs the tests, which lives in a network
// namespace of its own: the host's network is never touched.
const inside = "BERTH_TEST_NETNS"

// netdBinary is the program under test.
var netdBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	if socket := os.Getenv(pluginSocket); socket != "" {
		fmt.Fprintln(os.Stderr, beDriver(socket))
		os.Exit(1)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if netdBinary = os.Getenv(inside); netdBinary != "" {
		conn, err := netlink.Open()
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		if err := conn.SetUp(netlink.LoopbackIndex); err != nil {
			return 0, err
		}
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "netd")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "berth-netd")
	build := exec.Command("go", "build", "-o", binary, "../cmd/berth-netd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build berth-netd: %w: %s", err, out)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"="+binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}
