package seccomp

import "golang.org/x/sys/unix"

// reach is how far a conditional jump goes.
const reach = 255

// share lets jumps to a return go to one far behind that returns the same, and
// leaves out what nobody comes to any more: the returns between the steps of a
// search, two fifths of a program. The kernel translates a program each time
// that it is loaded, which takes longer than anything else in the making of a
// further process.
func share(program []unix.SockFilter) []unix.SockFilter {
	to := make([][2]int, len(program)) // where jumps go
	live := make([]bool, len(program))
	live[0] = true
	for i := range program {
		p := &program[i]
		switch {
		case !live[i] || p.Code&0x07 == unix.BPF_RET:
			continue
		case p.Code&0x07 != unix.BPF_JMP:
			to[i] = [2]int{i + 1, i + 1}
		case p.Code&0xf0 == unix.BPF_JA:
			next := i + 1 + int(p.K)
			to[i] = [2]int{next, next}
		default:
			to[i] = [2]int{farthest(program, i, i+1+int(p.Jt)), farthest(program, i, i+1+int(p.Jf))}
		}
		live[to[i][0]], live[to[i][1]] = true, true
	}
	at := make([]int, len(program))
	n := 0
	for i := range program {
		at[i] = n
		if live[i] {
			n++
		}
	}
	out := make([]unix.SockFilter, 0, n)
	for i, p := range program {
		if !live[i] {
			continue
		}
		switch yes, no := at[to[i][0]]-at[i]-1, at[to[i][1]]-at[i]-1; {
		case p.Code&0x07 != unix.BPF_JMP:
		case p.Code&0xf0 == unix.BPF_JA:
			p.K = uint32(yes)
		default:
			p.Jt, p.Jf = uint8(yes), uint8(no)
		}
		out = append(out, p)
	}
	return out
}

// farthest is the last place within reach of the jump at i that returns what
// target does; or target, if that is no return.
func farthest(program []unix.SockFilter, i, target int) int {
	if program[target].Code&0x07 != unix.BPF_RET {
		return target
	}
	for j := min(i+1+reach, len(program)-1); j > target; j-- {
		if program[j] == program[target] {
			return j
		}
	}
	return target
}
