// Package compat is the one place that knows how old API versions differ from
// the newest: requests are lifted to the newest form before the engine sees
// them, responses are lowered to what a client of that version reads. Nothing
// else in the engine compares versions, except where an operation as a whole
// behaves otherwise (package server).
//
// Functions are pure and never change a response that others may hold.
package compat
