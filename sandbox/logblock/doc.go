// Package logblock is the format of container logs: what processes wrote, as
// it came, in frames that carry stream and time (docs/contracts/logblock.md).
//
// A Writer belongs to one monitor. It makes one write call per chunk from the
// caller's buffer, allocates nothing on the way, and bounds the log by
// starting a new segment file at a size and removing the oldest ones.
//
// A Reader may read at any time in any process. It never blocks or locks the
// writer, ignores a torn frame at the end, puts lines together per stream,
// and follows a growing log across segments. Input may be hostile or damaged:
// a Reader never panics, and holds no more than one frame and one piece of a
// line per stream in memory.
package logblock
