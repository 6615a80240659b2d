package main

import "strings"

// A reason is why berth-runtime fails cases, for the reader of
// docs/conformance.md. It is for cases whose name or output contains the text.
type reason struct{ suite, group, contains, why string }

var reasons = []reason{
	{"", "", "CAP_SYS_RESOURCE", "This machine does not have CAP_SYS_RESOURCE to give."},
	{"runc", "rlimits", "prlimit", "The case raises a limit of its own shell, which needs CAP_SYS_RESOURCE; this machine lacks it."},
	{"", "", "level=debug", "The case wants runc's debug lines."},
	{"runtime-tools", "linux_cgroups_memory", "kernel", "Linux took memory.kmem limits away in 5.16."},
	{"runtime-tools", "linux_cgroups_relative_memory", "kernel", "Linux took memory.kmem limits away in 5.16."},
	{"runtime-tools", "linux_cgroups_blkio", "", "The case sets blkio.leaf_weight, which Linux no longer has."},
	{"runtime-tools", "linux_cgroups_relative_blkio", "", "The case sets blkio.leaf_weight, which Linux no longer has."},
	{"runtime-tools", "hugetlb", "", "This kernel has no hugetlb controller."},
	{"runtime-tools", "network", "", "This kernel has no net_cls and net_prio controllers; the program itself panics."},
	{"runtime-tools", "killsig", "", "A race in the program: it sends the signal as soon as start returns, maybe before the shell waits, and then expects the end within five seconds."},
	{"runtime-tools", "poststart_fail", "", "The program wants a warning, as version 1.0.1 did. The text of 1.3 (runtime.md, Lifecycle): \"If any `poststart` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.\""},
	{"runtime-tools", "delete", "", "A created container is deleted, as by runc and crun: engines count on it. The text (runtime.md, Delete) wants an error for one \"that is not `stopped`\"."},
	{"runtime-tools", "start", "exit status 1", "A configuration without a process is refused at create already; the program itself wants start to work and to fail."},
	{"runtime-tools", "poststart", "", "A race in the program: the hook must write after the program, which only has to be executed by then."},
	{"runtime-tools", "prestart", "", "The program wants these hooks at start, as version 1.0.0 did. Since 1.0.2 (config.md, Prestart) they \"MUST be called as part of the `create` operation\"."},
	{"runtime-tools", "hooks_stdin", "creating", "The program wants the status \"created\". In the text (runtime.md, State) that is \"after step 2 in the lifecycle\" and the hook is part of it: \"creating\"."},
	{"runtime-tools", "hooks", "", "The program gives a poststart hook that runs before the program has written; its order is not of the text."},
	{"runtime-tools", "linux_mount_label", "", "This kernel has no SELinux; crun leaves the label out. The text (config.md, Valid values): \"Runtimes MUST generate an error when invalid or unsupported values are encountered.\""},
	{"runtime-tools", "linux_process_apparmor_profile", "", "This kernel has no AppArmor: the profile is refused."},
	{"runtime-tools", "misc_props", "", "The program's bundle lacks the program that its container is to run; a runtime that looks at create cannot pass."},
	{"runtime-tools", "pidfile", "", "The program kills a container whose program it never installed."},
	{"runtime-tools", "process_capabilities_fail", "", "The program wants an error for an unknown capability. Since 1.1 (config.md, Linux Process) it \"MUST be logged as a warning\"."},
	{"runtime-tools", "process_rlimits", "", "The program wants a limit above the hard one of this machine."},
	{"runc", "checkpoint", "", "Debian's criu cannot work on this kernel, as the error says; `TestStories/checkpoint` of test/e2e/runtime saves and restores in the machine of `make test-vm`."},
	{"runc", "capabilities", "", "The case wants runc's words of a warning that is given."},
	{"runc", "cgroups", "frozen", "A group of that name with nothing in it is replaced by a new one, which is not frozen. The text (config-linux.md, Control groups): a runtime \"MAY … check if the container cgroup is fit for purpose\". One with processes in it is refused."},
	{"runc", "cgroups", "hugetlb", "This kernel has no hugetlb controller."},
	{"runc", "exec", "--cgroup", "The case wants runc's words of an error that is given."},
	{"runc", "hooks", "process environment", "runc gives a startContainer hook without an environment that of the program. Here a hook has its own environment only: the program's may come from an image."},
	{"runc", "mounts", "mount order", "Sources that are below a mount of the same container are found there, but not yet in every order and mapping that the case has: a gap."},
	{"runc", "run", "execve error", "The case wants runc's words of an error that is given."},
	{"runc", "mounts_recursive", "r*atime", "runc fails it on this machine, too; what exactly it counts on is not known."},
	{"runc", "run", "exe clone", "The case wants runc's words for what it executes. Programs are executed from a read-only overlay or sealed memory here, too."},
	{"runc", "scheduler", "", "The case wants runc's words; this machine does not permit deadlines in a group with processors of its own."},
	{"runc", "seccomp", "FILTER_FLAG", "The case knows no flag later than SPEC_ALLOW, and wants that one where the profile names none. Here only flags that are named are set."},
	{"runc", "update", "rt period", "The group that the case runs in has no realtime to give (cpu.rt_runtime_us is 0); runc fails, too."},
	{"runc", "update", "minimal transition", "The case has a rule for devices with the access \"rwa\". The text (config-linux.md, Allowed Device list) has \"a composition of r (read), w (write), and m (mknod)\", and wants an error for what is invalid."},
	{"runc", "spec", "git clone", "The case fetches the specification from the internet."},
	{"runc", "", "runs to its end", "The file did not end within the time that it is given here."},
	{"runc", "mounts_sshfs", "", "A bind mount that says nothing, or rw, of what the host has mounted read-only or without access times: runc clears what the host has set, here it stays unless a word with an r in front says otherwise (rrw)."},
}

// explain returns the reason for a failure, or what the case said.
func explain(suite, group string, v verdict) string {
	for _, r := range reasons {
		if (r.suite == "" || r.suite == suite) && strings.Contains(group, r.group) && strings.Contains(v.Name+v.Detail, r.contains) {
			return r.why
		}
	}
	return "Not looked into: `" + strings.ReplaceAll(last(v.Detail), "`", "'") + "`"
}

// last is the most telling line of what a case said: the error of the runtime,
// or the check that failed.
func last(detail string) string {
	lines := strings.Split(detail, "\n")
	for _, l := range lines {
		if strings.Contains(l, "level=error") {
			if _, msg, ok := strings.Cut(l, "msg="); ok {
				return msg
			}
		}
	}
	for _, l := range lines {
		if strings.HasSuffix(l, "failed") {
			return strings.TrimSpace(l)
		}
	}
	return lines[0]
}
