package container

import (
	"sync"

	"github.com/berth-engine/berth/kernel/file"
)

// syncer makes files and directories durable in groups: what is asked for
// while one group is on its way to the disk goes with the next, so that n
// creates at once cost a few commits of the journal and not n.
type syncer struct {
	mu    sync.Mutex
	queue []*syncJob
	busy  bool // somebody flushes, or was told to
}

type syncJob struct {
	paths []string
	done  chan error    // the result
	lead  chan struct{} // "flush the queue, you included"
}

// sync returns when the named files and directories, in this order, are on
// the disk.
func (s *syncer) sync(paths ...string) error {
	job := &syncJob{paths: paths, done: make(chan error, 1), lead: make(chan struct{}, 1)}
	s.mu.Lock()
	s.queue = append(s.queue, job)
	if !s.busy {
		s.busy = true
		job.lead <- struct{}{}
	}
	s.mu.Unlock()
	select {
	case err := <-job.done:
		return err
	case <-job.lead:
		s.flushQueue()
		return <-job.done
	}
}

func (s *syncer) flushQueue() {
	s.mu.Lock()
	group := s.queue
	s.queue = nil
	s.mu.Unlock()

	flush(group)

	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.busy = false
		return
	}
	s.queue[0].lead <- struct{}{}
}

// atOnce bounds the calls of a round: each has a thread wait for the disk.
const atOnce = 16

// flush syncs the first paths of all jobs, then all second ones, and so on;
// a path that several jobs name is synced once. The calls of one round run
// side by side: the journal merges them into one commit.
func flush(group []*syncJob) {
	if len(group) == 1 { // whoever asks does it himself: nobody has to be woken
		group[0].done <- syncInTurn(group[0].paths)
		return
	}
	errs := make([]error, len(group))
	room := make(chan struct{}, atOnce)
	for round := 0; ; round++ {
		once := map[string]func() error{}
		var wg sync.WaitGroup
		for i, j := range group {
			if round >= len(j.paths) || errs[i] != nil {
				continue
			}
			p := j.paths[round]
			if once[p] == nil {
				once[p] = sync.OnceValue(func() error {
					room <- struct{}{}
					defer func() { <-room }()
					return file.Sync(p)
				})
			}
			f := once[p]
			wg.Go(func() { errs[i] = f() })
		}
		if len(once) == 0 {
			break
		}
		wg.Wait()
	}
	for i, j := range group {
		j.done <- errs[i]
	}
}

func syncInTurn(paths []string) error {
	for _, p := range paths {
		if err := file.Sync(p); err != nil {
			return err
		}
	}
	return nil
}
