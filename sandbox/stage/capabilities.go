package stage

import (
	"slices"

	"github.com/berth-engine/berth/kernel/task"
)

// capSets are the five sets of a thread (capabilities(7)).
type capSets struct {
	bounding, permitted, effective, inheritable, ambient task.Caps
}

// capabilities returns the sets of the spec, without what the kernel would not
// grant; that is a warning, as the specification wants it. No capabilities in
// the spec means none.
func (s *setup) capabilities() (c capSets, err error) {
	want := s.Spec.Process.Capabilities
	if want == nil {
		return c, nil
	}
	_, have, err := task.CurrentCaps()
	if err != nil {
		return c, err
	}
	c.bounding = s.grant(want.Bounding, have, "available here")
	c.permitted = s.grant(want.Permitted, have, "available here")
	c.effective = s.grant(want.Effective, c.permitted, "in the permitted set")
	// The kernel looks at the bounding set as it is by then.
	c.inheritable = s.grant(want.Inheritable, c.bounding, "in the bounding set")
	c.ambient = s.grant(want.Ambient, c.permitted&c.inheritable, "in the permitted and the inheritable set")
	return c, nil
}

// grant returns those of a list that are in have, and warns of the others, once
// each.
func (s *setup) grant(list []string, have task.Caps, where string) (granted task.Caps) {
	for _, name := range list {
		set, unknown := task.ParseCaps([]string{name})
		switch {
		case len(unknown) > 0:
			s.warnOnce("capability " + name + " is unknown and was left out")
		case set&^have != 0:
			s.warnOnce("capability " + name + " is not " + where + " and was left out")
		}
		granted |= set & have
	}
	return granted
}

func (s *setup) warnOnce(text string) {
	if !slices.Contains(s.warnings, text) {
		s.warnings = append(s.warnings, text)
	}
}
