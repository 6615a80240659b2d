// Package format renders lists and objects the way Docker's client does:
// aligned tables, JSON lines and Go templates with the same functions and
// field names, so that scripts written for `docker … --format` work.
//
// A row is any type whose exported methods without arguments are the fields a
// template may use; JSON output is the object of all of them.
package format
