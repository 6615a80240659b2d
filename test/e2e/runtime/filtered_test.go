package runtime_test

import (
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// filtered is this program when it is called so:
//
//	filtered ERRNO|kill CALL,CALL… PROGRAM ARGS…
//
// It executes the program under a system call filter, as it is around a runtime
// that itself runs in a container: those calls fail, or end who makes them.
const filtered = "filtered"

func filteredMain(args []string) int {
	goruntime.LockOSThread() // the filter is this thread's, which executes
	if len(args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: filtered ERRNO|kill CALL,CALL… PROGRAM ARGS…")
		return 2
	}
	rule := specs.LinuxSyscall{Names: strings.Split(args[1], ","), Action: specs.ActKillProcess}
	if args[0] != "kill" {
		n, err := strconv.ParseUint(args[0], 10, 16)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		rule.Action, rule.ErrnoRet = specs.ActErrno, new(uint(n))
	}
	program, err := seccomp.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule}})
	if err == nil {
		err = task.LoadSeccomp(program, 0)
	}
	path := ""
	if err == nil {
		path, err = exec.LookPath(args[2])
	}
	if err == nil {
		err = syscall.Exec(path, args[2:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "filtered:", err)
	return 2
}
