// Package file works on the entries of directories by descriptor: what a
// program that copies the files of strangers needs beside package mount.
//
// Guarantees: every name is looked up in an open directory, has no slash, and
// is never followed if it is a symbolic link. So whatever somebody renames
// meanwhile, the work stays in the directory that was opened. What happens to
// an entry between two calls is not promised: whoever needs the same object
// twice opens it once. The exceptions are Read, Write and Sync, for paths that no
// stranger has a hand in.
package file
