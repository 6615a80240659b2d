// Package monitor is the small process that each container has as the parent
// of its process 1, and the protocol that it speaks
// (docs/contracts/monitor.md).
//
// A monitor is started ahead and idle: it ends by itself when the daemon that
// started it does. Launch makes it the monitor of one container for the rest
// of its life. From then on it needs no daemon: it reads what the container
// writes, logs it, hands it to attached clients, and puts the exit record in
// place, whoever lives. While nothing happens it rests (rest.go). It ends when told
// to remove, after the container has.
//
// Promises: output is never dropped, an attached client that is slow makes the
// container wait (with at most window bytes in between), one that leaves frees
// it at once; everything that the container wrote before its end is logged
// and handed out before the exit record is written, and that before any wait
// is answered.
//
// The package is linked into berth-sandbox, which a test keeps small: nothing
// here imports net or a logger.
package monitor
