// Package container keeps the containers of this host: their records, the
// state machine that moves them, and the verbs of the API.
//
// A container is one directory below Options.Root with its record, the upper
// and work directories of its file system, its log and the files bound over
// /etc/hosts, /etc/hostname and /etc/resolv.conf. The record is the truth: it
// is replaced by write and rename before anything is announced, so that a
// daemon killed between two lines finds at Restore what it needs to go on.
//
// Promises:
//
//   - Everything that changes one container is serialised by that container's
//     lock; readers (List, Inspect) read an immutable snapshot and never wait.
//   - A record moves only along the table in state.go; whoever moves it saves
//     it, then publishes the event.
//   - A name is of one container: the one whose record has it.
//   - Create returns after the record of a container that is not --rm has
//     reached the disk.
//   - Running containers do not depend on this process: at the end of Run they
//     live on, and Restore of the next daemon finds them again.
//
// The verbs return errors of the kinds of containerd/errdefs; texts are
// Docker's where Docker has one.
package container
