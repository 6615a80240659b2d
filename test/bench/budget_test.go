package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	got, err := count(strings.NewReader(`12 openat(AT_FDCWD, ""..., O_RDONLY) = 3
12 read(3,  <unfinished ...>
13 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 14
12 <... read resumed>""..., 9) = 9
13 clone3({flags=CLONE_NEWPID, exit_signal=SIGCHLD}, 88) = 15
15 execveat(4, ""..., 0x1, 0x2, AT_EMPTY_PATH) = 0
15 execve(""..., 0x1, 0x2) = -1 ENOENT (No such file or directory)
12 fdatasync(3) = 0
12 sendto(7, [{nlmsg_len=1, nlmsg_type=RTM_NEWLINK, ...}, {nlmsg_len=2, nlmsg_type=RTM_SETLINK}], 3, 0, NULL, 0) = 3
12 +++ exited with 0 +++
`))
	if want := (cost{calls: 8, execs: 1, processes: 1, fsyncs: 1, rtnl: 2}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBudgets(t *testing.T) {
	names := []string{"API run", "b"}
	budgets := map[string]cost{"API run": {calls: 100, execs: 2, rtnl: 6.5}, "b": {}}
	var text bytes.Buffer
	if err := writeBudgets(&text, names, budgets); err != nil {
		t.Fatal(err)
	}
	read, err := readBudgets(&text)
	if err != nil || !reflect.DeepEqual(read, budgets) {
		t.Errorf("%v, %v", read, err)
	}
	within := map[string]cost{"API run": {calls: 109, execs: 2, rtnl: 7}, "b": {}}
	if err := over(names, within, budgets); err != nil {
		t.Error(err)
	}
	above := map[string]cost{"API run": {calls: 111, execs: 2}, "b": {fsyncs: 1}, "c": {}}
	err = over(append(names, "c"), above, budgets)
	for _, want := range []string{"API run: 111.0 calls, and the budget is 100.0", "b: 1.0 fsyncs", "c has no budget"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no %q", err, want)
		}
	}
	if _, err := readBudgets(strings.NewReader("a 1 2\n")); err == nil {
		t.Error("a line without all numbers is taken")
	}
}
