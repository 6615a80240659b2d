package stage

import (
	"os"
	"strconv"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/task"
)

// fdGiven is the first descriptor to preserve, for the stage of a further
// process. Behind them is the root directory of the container
// (ns.SpawnSpec.Empty). How many there are, its first argument says.
const fdGiven = fdControl + 1

// stageFiles are more descriptors than the stage needs. A limit of open files below
// that, which is the container's, comes as two more arguments.
const stageFiles = 64

// entryMain is the stage of a further process. It begins in all namespaces and
// groups of the container, and does to itself what process 1 did.
func entryMain(control *os.File) int {
	s := &setup{control: control, entered: true, given: fdGiven}
	for i, text := range os.Args[1:] {
		s.args[i], _ = strconv.Atoi(text) // our own, from Enter
	}
	s.root = os.NewFile(uintptr(fdGiven+s.args[0]), "root")
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
