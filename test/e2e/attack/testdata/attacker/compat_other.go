//go:build !amd64 && !386

package main

// compat: other machines have no second way in that their filter would have to
// know.
func compat() {}

func ports() []call { return nil }
