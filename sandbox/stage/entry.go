package stage

import (
	"os"
	"strconv"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/task"
)

// fdGiven is the first descriptor to preserve, for the stage of a further
// process. Behind them is the root directory of the container
// (ns.SpawnSpec.Empty). How many there are, its first argument says, if any.
const fdGiven = fdControl + 1

// entryMain is the stage of a further process. It begins in all namespaces and
// groups of the container, and does to itself what process 1 did.
func entryMain(control *os.File) int {
	root := fdGiven
	if len(os.Args) > 1 {
		n, _ := strconv.Atoi(os.Args[1]) // our own, from Enter
		root += n
	}
	s := &setup{control: control, root: os.NewFile(uintptr(root), "root"), entered: true, given: fdGiven}
	return s.perform([]step{
		{"become undumpable", becomeUndumpable},
		{"reset signals", task.DefaultSignals},
		{"read configuration", s.readEntry},
		{"take processors", s.processors},
		{"enter root file system", s.enterRoot},
		{"session keyring", s.keyring},
		{"open terminal", s.openConsole},
		{"kernel settings", s.kernelSettings},
		{"raise limits", s.raiseLimits},
		{"leave root directory", s.root.Close},
		{"set credentials", s.restrict},
		{"report", s.report},
	})
}

func (s *setup) readEntry() error {
	files, err := s.receiveOrder(1, nothing)
	if err != nil {
		return err
	}
	return s.takeFiles(files)
}

// enterRoot goes from the empty directory to the container's root.
func (s *setup) enterRoot() error {
	return mount.ChangeRoot(s.root)
}
