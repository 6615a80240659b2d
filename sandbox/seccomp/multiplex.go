package seccomp

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// multiplexer is a call that is many: the first argument, as far as mask
// says, tells which one. The arguments proper lie behind a pointer, where no
// filter can see them.
type multiplexer struct {
	name  string
	mask  uint64
	calls []member
}

type member struct {
	number uint64
	name   string
	// now is the call that took its place, for those that i386 has only here.
	now string
}

// multiplexed sets what happens to a multiplexer: what the profile says for it,
// except where that would lead around what it says for one of the calls. Since
// arguments cannot be seen, a call whose arguments matter gets the strictest
// action that it can get.
func (r *resolved) multiplexed(s *space, m *multiplexer, verdicts map[string]*verdict) {
	v := &verdict{otherwise: r.fallback}
	if own := verdicts[m.name]; own != nil {
		v.otherwise, v.rules = own.otherwise, own.rules
	} else if last, any := r.last(s); any && r.stub {
		if nr, _ := s.table.lookup(m.name); nr > last {
			v.otherwise = retENOSYS
		}
	}
	loosest := v.otherwise
	for _, e := range v.rules {
		if stricter(loosest, e.action) {
			loosest = e.action
		}
	}
	var first []rule
	for _, c := range m.calls {
		worst, named := r.worst(c)
		if named && stricter(worst, loosest) {
			first = append(first, rule{[]specs.LinuxSeccompArg{m.is(c.number)}, worst})
		}
	}
	if first = detours(first); len(first) > 0 {
		v.rules = append(first, v.rules...)
		verdicts[m.name] = v
	}
}

// is holds when the call is the one with that number.
func (m *multiplexer) is(number uint64) specs.LinuxSeccompArg {
	if m.mask == 1<<32-1 { // all that there is
		return specs.LinuxSeccompArg{Op: specs.OpEqualTo, Value: number}
	}
	return specs.LinuxSeccompArg{Op: specs.OpMaskedEqual, Value: m.mask, ValueTwo: number}
}

// worst returns the strictest action that a call can get, if the profile names
// it.
func (r *resolved) worst(c member) (action uint32, named bool) {
	name := c.name
	if !r.named[name] && c.now != "" {
		name = c.now
	}
	v := r.verdicts[name]
	if v == nil {
		return r.fallback, r.named[name]
	}
	action = v.otherwise
	for _, e := range v.rules {
		if stricter(e.action, action) {
			action = e.action
		}
	}
	return action, true
}

// stricter compares actions as the kernel does with those of several filters
// (seccomp(2)).
func stricter(a, b uint32) bool {
	const full = 0xffff0000 // SECCOMP_RET_ACTION_FULL
	return int32(a&full) < int32(b&full)
}
