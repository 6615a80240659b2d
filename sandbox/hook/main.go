package hook

import (
	"fmt"
	"os"
	"syscall"

	"github.com/berth-engine/berth/kernel/task"
)

// Name is os.Args[0] of a program by way of which hooks are executed.
const Name = "berth-hook"

// Main gives ignored signals their default meaning back and executes a hook:
// os.Args is Name, the hook's path, and its arguments from argv[0] on. It does
// not return.
func Main() {
	if len(os.Args) < 3 {
		fmt.Fprintf(os.Stderr, "%s is started by berth's programs only\n", Name)
		os.Exit(1)
	}
	err := task.DefaultSignals()
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[2:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(127)
}
