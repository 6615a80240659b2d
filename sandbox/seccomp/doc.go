// Package seccomp compiles an OCI seccomp profile to the classic BPF program
// that the kernel loads.
//
// It promises what libseccomp does as runc calls it: names that no table knows
// are left out; rules whose action is the default one are left out; of the
// rules for one system call an unconditional one wins over conditional ones,
// and those are tried in the order of the profile; several conditions on the
// same argument in one rule are alternatives; a call newer than the newest one
// that the profile names is answered with ENOSYS if the default action would
// refuse it, so that programs fall back to what they know. Calls by an
// architecture that the profile does not list kill the process.
//
// One difference is intended: on i386, allowing socket does not allow
// socketcall(SYS_SOCKET), whose arguments no filter can see.
//
// Instead of comparing numbers one by one, the program searches in intervals
// of numbers with the same action, which makes it shorter: the time to load it
// is part of every container's start.
package seccomp

//go:generate go run ./gen
