package seccomp

import (
	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Offsets in struct seccomp_data.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

var operators = []specs.LinuxSeccompOperator{
	specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
	specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func ret(value uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
}

// choose runs yes if the accumulator compares to k, else no; both end in
// returns. Conditional jumps reach 255 instructions, others any distance.
func choose(op uint16, k uint32, yes, no []unix.SockFilter) []unix.SockFilter {
	code := unix.BPF_JMP | unix.BPF_K | op
	head := []unix.SockFilter{{Code: code, K: k, Jf: uint8(len(yes))}}
	if len(yes) > 255 {
		head = []unix.SockFilter{
			{Code: code, K: k, Jt: 1},
			{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(yes))},
		}
	}
	return append(append(head, yes...), no...)
}

// search finds the interval of the number in the accumulator.
func search(steps []step) []unix.SockFilter {
	if len(steps) == 1 {
		return steps[0].verdict.emit(steps[0].narrow)
	}
	middle := len(steps) / 2
	return choose(unix.BPF_JGE, steps[middle].first, search(steps[middle:]), search(steps[:middle]))
}

func (v *verdict) emit(narrow bool) []unix.SockFilter {
	var out []unix.SockFilter
	for rules := v.rules; len(rules) > 0; {
		n := alike(rules)
		if n > 1 {
			out = append(out, oneOf(rules[:n], narrow)...)
		} else {
			out = append(out, rules[0].emit(narrow)...)
		}
		rules = rules[n:]
	}
	return append(out, ret(v.otherwise))
}

// alike returns how many rules at the start have the same action and differ
// only in the low half of the value that one argument must equal. A profile
// lists dozens of them for socket's families.
func alike(rules []rule) int {
	const most = 200 // jumps reach 255
	first := &rules[0]
	for i := range rules {
		c := rules[i].conditions
		if i == most || len(c) != 1 || c[0].Op != specs.OpEqualTo || c[0].Index != first.conditions[0].Index ||
			c[0].Value>>32 != first.conditions[0].Value>>32 || rules[i].action != first.action {
			return max(i, 1)
		}
	}
	return len(rules)
}

// oneOf is the code of rules that are alike.
func oneOf(rules []rule, narrow bool) []unix.SockFilter {
	first := &rules[0].conditions[0]
	offset := uint32(offsetArgs + 8*first.Index)
	n := len(rules)
	const jeq = unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ
	var out []unix.SockFilter
	if !narrow {
		out = append(out, load(offset+4), unix.SockFilter{Code: jeq, K: uint32(first.Value >> 32), Jf: uint8(n + 2)})
	}
	out = append(out, load(offset))
	for i := range rules {
		f := unix.SockFilter{Code: jeq, K: uint32(rules[i].conditions[0].Value), Jt: uint8(n - 1 - i)}
		if i == n-1 {
			f.Jf = 1
		}
		out = append(out, f)
	}
	return append(out, ret(rules[0].action))
}

// Targets of a jump inside a condition.
const (
	here = iota // the next instruction
	holds
	fails
)

// op is an instruction whose jumps are not resolved yet.
type op struct {
	unix.SockFilter
	yes, no int
}

func jump(code uint16, k uint32, yes, no int) op {
	return op{unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | code, K: k}, yes, no}
}

func and(mask uint32) op {
	return op{SockFilter: unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}}
}

// emit makes the code of a rule: it returns the action, or goes on behind
// itself.
func (r *rule) emit(narrow bool) []unix.SockFilter {
	out := []unix.SockFilter{ret(r.action)}
	for i := len(r.conditions) - 1; i >= 0; i-- {
		ops := condition(&r.conditions[i], narrow)
		block := make([]unix.SockFilter, len(ops))
		for j, o := range ops {
			block[j] = o.SockFilter
			if o.Code&0x07 == unix.BPF_JMP {
				left := len(ops) - 1 - j
				distance := [...]uint8{here: 0, holds: uint8(left), fails: uint8(left + len(out))}
				block[j].Jt, block[j].Jf = distance[o.yes], distance[o.no]
			}
		}
		out = append(block, out...)
	}
	return out
}

// condition compares an argument, high half first. Where arguments have 32
// bits, the high half is not looked at, neither in the argument nor in the
// profile's value.
func condition(c *specs.LinuxSeccompArg, narrow bool) []op {
	offset := uint32(offsetArgs + 8*c.Index)
	low, high := op{SockFilter: load(offset)}, op{SockFilter: load(offset + 4)}
	v, vhi := uint32(c.Value), uint32(c.Value>>32)
	var lower, upper []op
	switch c.Op {
	case specs.OpEqualTo:
		upper = []op{high, jump(unix.BPF_JEQ, vhi, here, fails)}
		lower = []op{low, jump(unix.BPF_JEQ, v, holds, fails)}
	case specs.OpNotEqual:
		upper = []op{high, jump(unix.BPF_JEQ, vhi, here, holds)}
		lower = []op{low, jump(unix.BPF_JEQ, v, fails, holds)}
	case specs.OpGreaterThan, specs.OpGreaterEqual:
		code := uint16(unix.BPF_JGT)
		if c.Op == specs.OpGreaterEqual {
			code = unix.BPF_JGE
		}
		upper = []op{high, jump(unix.BPF_JGT, vhi, holds, here), jump(unix.BPF_JEQ, vhi, here, fails)}
		lower = []op{low, jump(code, v, holds, fails)}
	case specs.OpLessThan, specs.OpLessEqual:
		code := uint16(unix.BPF_JGE)
		if c.Op == specs.OpLessEqual {
			code = unix.BPF_JGT
		}
		upper = []op{high, jump(unix.BPF_JGT, vhi, fails, here), jump(unix.BPF_JEQ, vhi, here, holds)}
		lower = []op{low, jump(code, v, fails, holds)}
	case specs.OpMaskedEqual:
		w, whi := uint32(c.ValueTwo), uint32(c.ValueTwo>>32)
		upper = []op{high, and(vhi), jump(unix.BPF_JEQ, whi, here, fails)}
		lower = []op{low, and(v), jump(unix.BPF_JEQ, w, holds, fails)}
	}
	if narrow {
		return lower
	}
	return append(upper, lower...)
}
