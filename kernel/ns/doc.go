// Package ns handles namespaces, and processes by handle: making and entering
// network namespaces, pidfds, start times, the sealed memfd from which
// programs are executed, and starting a program in other namespaces.
//
// What changes a thread happens on a thread of its own that is thrown away
// afterwards, never on the main thread: /proc/self shows the main thread's
// namespaces, and Go would give a changed thread to other goroutines. What only
// a process of one thread can do (entering user and time namespaces) happens in
// a child of Spawn, which makes raw system calls and nothing else.
package ns
