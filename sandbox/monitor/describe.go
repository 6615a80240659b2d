package monitor

// What the tags of the types say, for fields.

func (m *Message) describe(f *fields) {
	unsigned(f, "seq", &m.Seq, false)
	f.str("op", &m.Op, true)
	f.raw("body", &m.Body)
	if f.has("error") {
		m.Error = new(Error)
	}
	if m.Error != nil {
		f.part("error", m.Error)
	}
}

func (e *Error) describe(f *fields) {
	f.str("kind", &e.Kind, false)
	f.str("text", &e.Text, false)
	number(f, "exit_code", &e.ExitCode, true)
}

func (h *Hello) describe(f *fields) {
	number(f, "min", &h.Min, false)
	number(f, "max", &h.Max, false)
	f.str("instance", &h.Instance, true)
}

func (w *Welcome) describe(f *fields) {
	number(f, "protocol", &w.Protocol, false)
	number(f, "pid", &w.Pid, false)
	f.str("id", &w.ID, true)
	f.str("instance", &w.Instance, true)
}

func (l *Launch) describe(f *fields) {
	f.str("id", &l.ID, false)
	f.str("instance", &l.Instance, false)
	f.str("dir", &l.Dir, false)
	f.str("state_dir", &l.StateDir, false)
	f.flag("durable", &l.Durable)
	f.part("plan", (*plan)(&l.Plan))
	f.strs("files", &l.Files, false)
	f.str("log_dir", &l.LogDir, true)
	number(f, "log_max_size", &l.LogMaxSize, true)
	number(f, "log_max_files", &l.LogMaxFiles, true)
	f.flag("open_stdin", &l.OpenStdin)
	f.flag("stdin_once", &l.StdinOnce)
	f.strs("runtime", &l.Runtime, true)
	f.str("oom_file", &l.OOMFile, true)
	f.str("kill_file", &l.KillFile, true)
	f.strs("cgroup_dirs", &l.CgroupDirs, true)
	number(f, "calm", &l.Calm, true)
}

func (c *Created) describe(f *fields) {
	number(f, "pid", &c.Pid, false)
	unsigned(f, "start_time", &c.StartTime, false)
	f.strs("warnings", &c.Warnings, true)
}

func (s *Started) describe(f *fields) { f.time("at", &s.At) }

func (s *Status) describe(f *fields) {
	f.str("state", (*string)(&s.State), false)
	f.str("id", &s.ID, false)
	f.str("instance", &s.Instance, false)
	number(f, "pid", &s.Pid, true)
	unsigned(f, "start_time", &s.StartTime, true)
	f.time("started_at", &s.StartedAt)
	if f.has("exit") {
		s.Exit = new(Exit)
	}
	if s.Exit != nil {
		f.part("exit", s.Exit)
	}
}

func (e *Exited) describe(f *fields) {
	f.part("exit", &e.Exit)
	f.str("unrecorded", &e.Unrecorded, true)
}

func (e *Exit) describe(f *fields) {
	number(f, "code", &e.Code, false)
	number(f, "signal", &e.Signal, true)
	f.flag("oom_killed", &e.OOMKilled)
	f.time("started_at", &e.StartedAt)
	f.time("finished_at", &e.FinishedAt)
	f.str("reason", &e.Reason, true)
	f.str("instance", &e.Instance, true)
}

func (r *Remove) describe(f *fields) { f.flag("keep", &r.Keep) }

func (r *Removed) describe(f *fields) {
	f.strs("warnings", &r.Warnings, true)
	f.flag("kept", &r.Kept)
}

func (s *Signal) describe(f *fields) { number(f, "signal", &s.Signal, false) }

func (r *Resize) describe(f *fields) {
	unsigned(f, "rows", &r.Rows, false)
	unsigned(f, "cols", &r.Cols, false)
}

func (l *LogLimits) describe(f *fields) {
	number(f, "max_size", &l.MaxSize, true)
	number(f, "max_files", &l.MaxFiles, true)
}

func (a *Attach) describe(f *fields) {
	f.flag("stdin", &a.Stdin)
	f.flag("stdout", &a.Stdout)
	f.flag("stderr", &a.Stderr)
}

func (e *Exec) describe(f *fields) {
	f.str("id", &e.ID, false)
	f.strs("files", &e.Files, false)
	f.flag("terminal", &e.Terminal)
	f.str("cpus", &e.CPUs, true)
	f.flag("stdin", &e.Stdin)
	f.flag("stdout", &e.Stdout)
	f.flag("stderr", &e.Stderr)
	f.str("note", &e.Note, true)
}

func (e *Executed) describe(f *fields) {
	number(f, "pid", &e.Pid, false)
	unsigned(f, "start_time", &e.StartTime, false)
	f.time("started_at", &e.StartedAt)
	f.strs("warnings", &e.Warnings, true)
}

func (k *Fork) describe(f *fields) {
	f.strs("files", &k.Files, false)
	f.str("oom_score_adj", &k.OOMScoreAdj, true)
	f.str("apparmor", &k.AppArmor, true)
}

func (k *Forked) describe(f *fields) {
	number(f, "pid", &k.Pid, false)
	unsigned(f, "start_time", &k.StartTime, false)
}

func (e *ExecRef) describe(f *fields) { f.str("id", &e.ID, false) }

func (e *ExecExit) describe(f *fields) {
	number(f, "code", &e.Code, false)
	number(f, "signal", &e.Signal, true)
	f.time("finished_at", &e.FinishedAt)
}

func (e *ExecSignal) describe(f *fields) {
	f.str("id", &e.ID, false)
	number(f, "signal", &e.Signal, false)
}

func (e *ExecResize) describe(f *fields) {
	f.str("id", &e.ID, false)
	unsigned(f, "rows", &e.Rows, false)
	unsigned(f, "cols", &e.Cols, false)
}

func (e *ExecList) describe(f *fields) { objects(f, "execs", &e.Execs) }

func (e *ExecStatus) describe(f *fields) {
	f.str("id", &e.ID, false)
	number(f, "pid", &e.Pid, false)
	unsigned(f, "start_time", &e.StartTime, false)
	f.time("started_at", &e.StartedAt)
	f.str("note", &e.Note, true)
	if f.has("exit") {
		e.Exit = new(ExecExit)
	}
	if e.Exit != nil {
		f.part("exit", e.Exit)
	}
}
