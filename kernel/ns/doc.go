// Package ns handles namespaces, and processes by handle: making and entering
// network namespaces, pidfds, start times, and the sealed memfd from which
// programs are executed.
//
// What changes a thread happens on a thread of its own that is thrown away
// afterwards, never on the main thread: /proc/self shows the main thread's
// namespaces, and Go would give a changed thread to other goroutines.
package ns
