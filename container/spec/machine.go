package spec

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/sandbox"
)

// machines are the names of architectures, as images have them, by the e_machine
// of their programs (elf(5)).
var machines = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_386: "386", elf.EM_AARCH64: "arm64", elf.EM_ARM: "arm", elf.EM_PPC64: "ppc64le",
	elf.EM_S390: "s390x", elf.EM_RISCV: "riscv64", elf.EM_MIPS: "mips64le", elf.EM_LOONGARCH: "loong64",
}

// headSize is what of a program is looked at: the part of its ELF header up to
// e_machine, or the line that names its interpreter.
const headSize = 256

// ExplainStart adds to the error of a start what a user can do about it, where the
// program is for another architecture.
func ExplainStart(root *os.File, p *specs.Process, err error) error {
	failed, ok := errors.AsType[*sandbox.StartError](err)
	if !ok || !strings.Contains(failed.Text, "exec format error") {
		return err
	}
	hint := foreignMachine(root, p)
	if hint == "" {
		return err
	}
	return &sandbox.StartError{ExitCode: failed.ExitCode, Text: failed.Text + ": " + hint}
}

// foreignMachine tells what is missing when the kernel did not know the format of
// a process's program (ENOEXEC): a handler for another architecture. It is ""
// if the program is not for another architecture, or none can be read.
func foreignMachine(root *os.File, p *specs.Process) string {
	name, head := program(root, p)
	if interpreter, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		line, _, _ := bytes.Cut(interpreter, []byte("\n"))
		if words := strings.Fields(string(line)); len(words) > 0 {
			name = words[0]
			head, _ = mount.ReadHeadInRoot(root, name, headSize)
		}
	}
	arch := machineOf(head)
	if arch == "" || arch == runtime.GOARCH {
		return ""
	}
	return fmt.Sprintf("%s is a program for %s and this host is %s: use an image for linux/%s, or install a handler for %s "+
		"(binfmt_misc; Debian: apt install qemu-user-static binfmt-support)", name, arch, runtime.GOARCH, runtime.GOARCH, arch)
}

// program finds a process's program as execvp(3) would and reads its beginning.
func program(root *os.File, p *specs.Process) (name string, head []byte) {
	if len(p.Args) == 0 {
		return "", nil
	}
	if strings.Contains(p.Args[0], "/") {
		name = p.Args[0]
		if !path.IsAbs(name) {
			name = path.Join(p.Cwd, name)
		}
		head, _ = mount.ReadHeadInRoot(root, name, headSize)
		return name, head
	}
	for _, entry := range p.Env {
		list, ok := strings.CutPrefix(entry, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(list, ":") {
			name = path.Join("/", dir, p.Args[0])
			if head, err := mount.ReadHeadInRoot(root, name, headSize); err == nil {
				return name, head
			}
		}
	}
	return "", nil
}

// machineOf reads the architecture in the beginning of an ELF file; "" if it is
// none that images can have.
func machineOf(head []byte) string {
	const atMachine = 18
	if len(head) < atMachine+2 || !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return ""
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	return machines[elf.Machine(order.Uint16(head[atMachine:]))]
}
