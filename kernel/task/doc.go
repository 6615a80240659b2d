// Package task changes the calling thread into what a container's process
// shall be: credentials, capabilities, limits, seccomp, descriptors.
//
// Everything here acts on the calling thread alone (where the kernel says so)
// and is raw: Go's own wrappers would change all threads, which neither works
// under a filter nor is wanted. The caller has locked its goroutine to the
// thread, and the thread then executes a program.
package task
