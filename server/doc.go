// Package server is the engine's HTTP side: it turns a request of Docker's
// Engine API into one call of the engine and the call's result into an answer.
//
// It promises: every operation of the specification is answered, if only by 501
// with a clear message (the table in operations.go; docs/api.md is made from
// it). A body is decoded once, into a struct, from a bounded number of bytes, and
// only that struct is acted on. What old versions of the API do otherwise is
// decided in server/compat. Status codes are chosen in errors.go and nowhere
// else. A handler that panics costs its request, never the daemon.
//
// It knows no container, image or network beyond the methods it calls.
package server
