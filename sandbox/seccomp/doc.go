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
// Two differences are intended, both on i386, where socketcall and ipc stand
// for many calls whose arguments no filter can see. Allowing socket does not
// allow socketcall(SYS_SOCKET): the profile has to name socketcall. And naming
// it does not lead around what the profile says for the calls behind it: one
// that is refused, or looked at by its arguments (socket, by its families), is
// answered with the strictest action that the call itself could get. Programs
// that know socketcall only (Go's for 386 among them) therefore get no sockets
// under a profile that filters families, as moby's does; one that allows socket
// without conditions lets them.
//
// Instead of comparing numbers one by one, the program searches in intervals
// of numbers with the same action, which makes it shorter: the time to load it
// is part of every container's start.
package seccomp

//go:generate go run ./gen
