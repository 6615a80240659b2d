// Package exec keeps the exec instances of the API: what was asked for
// (exec create), what runs, and how it ended.
//
// An instance lives in memory. It is created, then started once, then it has
// ended; it is forgotten some minutes after its end, or when its container ends
// before it was started. How many a container may have is bounded.
//
// Promises: of two starts one wins; whoever waits for the end of an instance
// hears of it when its exit code can be read.
package exec
